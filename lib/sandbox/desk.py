"""What a program finds and leaves: standard input, a working folder with files, and those that are read back.

Runs inside the box only, in the harness, but for `sit`. The folder belongs to one program: the harness makes it, reads
it once every other process is gone, by its descriptor and without following a link, and removes it. Standard library
only.
"""

import base64
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable

MAX_KEPT = 4 << 20  # bytes that are read back of one program
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


class Desk:
    """One program's; `files` and `stdin` are base64, None for a program without; `apart`: its errors are no output."""

    def __init__(self, root: str, files: dict[str, str] | None, stdin: str | None, apart: bool) -> None:
        self.apart = apart
        self.path, self.folder, self.stdin = os.path.join(root, "work"), -1, -1
        if stdin is not None:
            place = os.path.join(root, "stdin")
            write(place, stdin)
            self.stdin = os.open(place, os.O_RDONLY)
            os.unlink(place)  # it is gone with the program
        if files is not None:
            os.mkdir(self.path, 0o700)
            self.folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            for name, data in files.items():
                write(name, data, self.folder)

    def sit(self) -> None:
        """Make the folder this process's own: the current one, its home, and where it puts temporary files."""
        if self.folder >= 0:
            os.fchdir(self.folder)
            os.environ |= {"HOME": self.path, "TMPDIR": self.path}
            tempfile.tempdir = None

    def left(self, names: Iterable[str]) -> dict[str, str | None]:
        """Return these files as base64: None for what is missing, is no plain file of its own, or is too large."""
        room, found = MAX_KEPT, dict[str, str | None]()
        for name in names:
            found[name] = None
            try:
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self.folder)
            except OSError:
                continue
            facts = os.fstat(fd)
            if stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1 and facts.st_size <= room:
                with open(fd, "rb", closefd=False) as file:
                    found[name] = base64.b64encode(file.read()).decode()
                room -= facts.st_size
            os.close(fd)
        return found

    def clear(self) -> bool:
        """Remove everything; whether nothing is left. What a program has put in the folder's place is left alone."""
        if self.stdin >= 0:
            os.close(self.stdin)
        if self.folder < 0:
            return True
        try:
            same = os.path.samestat(os.fstat(self.folder), os.lstat(self.path))
            if same:
                shutil.rmtree(self.path)  # by descriptors: it follows no link
        except (OSError, RecursionError):
            same = False
        os.close(self.folder)
        return same


def write(name: str, data: str, folder: int | None = None) -> None:
    """Write a new file; OSError when there is one, or no room."""
    with open(os.open(name, NEW, 0o600, dir_fd=folder), "wb") as file:
        file.write(base64.b64decode(data))

"""The second tier of the sandbox, for machines that forbid namespaces: Landlock for files, seccomp for the rest.

The harness drops its privileges and confines itself (readable: /usr, the interpreter, its own parts, a few devices,
/proc; writable: a private folder). Each cell confines itself further: no /proc, and a filter of system calls: no child
process, no exec, no signal to another process, no socket with an address, no change of a file's mode, owner, times or
attributes. This needs Landlock ABI 1 (Linux 5.13) and is the same on every later one: what newer ABIs cover
(truncation, TCP, devices, signals) is denied by the filter on all.

What it cannot do, and the namespaces of the first tier can:
- hide that a path exists: name, size, owner and times of any file can be queried, and folders entered, not listed;
- enforce a quota: a file is limited by RLIMIT_FSIZE, and the private folder is measured every few milliseconds and at
  the end, so a program that fills it is stopped afterwards; files that are unlinked but open are not counted;
- hide other processes: their ids can be probed (but no process can be read, signalled or traced);
- allow child processes: programs that fork or use subprocess or multiprocessing fail, and so does shutil.copy (chmod);
- offer /tmp: only the folder that TMPDIR and HOME name is writable;
- limit threads as they start (RLIMIT_NPROC counts all of a user's): they are counted every few milliseconds.

Standard library only: it also runs inside the box.
"""

import contextlib
import ctypes
import os
import pathlib
import signal
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lib.sandbox import seccomp
from lib.sandbox.channel import Message

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # system calls, the same on every architecture
READ_FILE, READ_DIR, WRITE_FILE, TRUNCATE, REFER = 1 << 2, 1 << 3, 1 << 1, 1 << 14, 1 << 13
READ = READ_FILE | READ_DIR
WRITE = READ | WRITE_FILE | TRUNCATE | REFER | 0x30 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 12  # remove, make (not devices)
OF_FILES = READ_FILE | WRITE_FILE | TRUNCATE  # the rights among these that a rule for a single file may have
RIGHTS = {
    1: (1 << 13) - 1,
    2: (1 << 14) - 1,
    3: (1 << 15) - 1,
    5: (1 << 16) - 1,
}  # all rights, by the first ABI that has them
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives",
          "/etc/localtime", "/etc/mime.types", "/dev/zero", "/dev/urandom", "/dev/random")  # fmt: skip
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 1, 22, 24, 38, 47
CAPABILITY_VERSION, AMBIENT_CLEAR_ALL, FILTER_MODE = 0x20080522, 4, 2
MOST_FILES = 1000  # files in a private folder, whatever their size

# What this tier must prevent, tried before anything else runs. FILE is one of the study's own,
# PID its process, NAMES the variables that may be in the environment.
PROBE = """
import ctypes, os, socket, subprocess, threading
def refused(action, *arguments):
    try:
        action(*arguments)
    except OSError as error:
        return error.errno in (1, 2, 13, 30)  # EPERM of the filter, EACCES of Landlock; or no such place
    return False
def create(folder):
    name = folder + "/study-probe"
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    os.unlink(name)
def fork():
    os.fork() or os._exit(0)
def threads():
    done = []
    thread = threading.Thread(target=done.append, args=(1,))
    thread.start()
    thread.join()
    return done == [1]
def networks():
    return [f for f in range(46) for kind in (1, 2, 3, 5) if opens(socket.socket, f, kind)]
def opens(action, *arguments):
    try:
        action(*arguments)
    except OSError:
        return False
    return True
def descriptors():
    return [fd for fd in range(3, 4096) if opens(os.fstat, fd)]
def environment():
    return set(os.environ)
def touch(path):
    os.utime(path, ns=(os.stat(path).st_atime_ns, os.stat(path).st_mtime_ns))
"""
PROBE_TESTS = """
import os, signal, socket, subprocess
for path in (FILE, os.path.dirname(FILE), "/proc/%d/environ" % PID, "/proc/self/status", "/"):
    assert refused(os.open, path, os.O_RDONLY)
for path in (FILE, "/proc/%d/mem" % PID):
    assert refused(os.open, path, os.O_RDWR)
for folder in (os.path.dirname(FILE), "/usr", "/", "/dev", "/dev/shm", "/tmp", os.getcwd(), os.environ["HOME"] + "/.."):
    assert refused(create, folder)
assert not refused(create, os.environ["TMPDIR"])
assert networks() == [] and refused(socket.socketpair, socket.AF_UNIX, socket.SOCK_DGRAM)
assert opens(socket.socketpair) and len(descriptors()) == 1
assert refused(fork) and refused(subprocess.run, ["true"]) and threads()
for pid in (PID, os.getppid(), 1, 0, -1):
    assert refused(os.kill, pid, 0)
assert refused(os.chmod, FILE, os.stat(FILE).st_mode & 0o7777) and refused(touch, FILE)
assert refused(os.chown, FILE, -1, -1) and refused(os.removexattr, FILE, "user.study-probe")
assert refused(os.truncate, FILE, os.stat(FILE).st_size)
assert environment() <= set(NAMES)
"""
PROBE_EXEC = (
    "import os\nos.execv('/bin/sh', ['sh', '-c', 'exit 3'])"  # a cheat when it is killed, an error when it runs
)

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: int | bytes) -> int:
    """Call a C function with register-wide integers or pointers; OSError when it returns -1."""
    result = getattr(_libc, name)(*(ctypes.c_long(one) if isinstance(one, int) else one for one in arguments))
    if result == -1:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
    return result


def _prctl(option: int, first: int, second: int | bytes = 0) -> None:
    _call("prctl", option, first, second, 0, 0)


def abi() -> int:
    """The kernel's Landlock ABI; 0 when it has none or the machine's system calls cannot be filtered."""
    version = _libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    return version if version > 0 and seccomp.program() else 0


def _ruleset(level: int, rules: Iterable[tuple[str | os.PathLike[str], int]]) -> int:
    """A descriptor of rules that allow the given rights below each path (if it exists) and deny everything else."""
    handled = max(rights for since, rights in RIGHTS.items() if since <= level)
    attributes = struct.pack("=Q", handled)
    ruleset = _call("syscall", CREATE_RULESET, attributes, len(attributes), 0)
    for path, rights in rules:
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:  # missing, or not for this user: nothing to allow
            continue
        allowed = rights & handled & (-1 if os.path.isdir(path) else OF_FILES)
        try:
            _call("syscall", ADD_RULE, ruleset, 1, struct.pack("=Qi", allowed, fd), 0)
        finally:
            os.close(fd)
    return ruleset


def _drop_root(folder: str, uid: int, readable: Sequence[str]) -> None:
    """Become an unused user who owns the private folder, unless that user cannot exist or cannot read what it needs."""
    try:
        os.chmod(os.path.dirname(folder), 0o711)
        os.chown(folder, uid, uid)
        os.setgroups([])
        os.setegid(uid)
        os.seteuid(uid)
        for path in (os.__file__, *readable):
            os.close(os.open(path, os.O_RDONLY))
    except OSError:  # the interpreter lies in root's home, or the container knows no such user
        uid = 0
    os.seteuid(0)
    os.setegid(0)
    if not uid and os.stat(folder).st_uid:
        os.chown(folder, 0, 0)
    if uid:
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def _drop_capabilities() -> None:
    """Give up every capability for good: file modes then apply to root, too."""
    for capability in range(64):
        with contextlib.suppress(OSError):
            _prctl(PR_CAPBSET_DROP, capability)
    with contextlib.suppress(OSError):
        _prctl(PR_CAP_AMBIENT, AMBIENT_CLEAR_ALL)
    _call("capset", struct.pack("=Ii", CAPABILITY_VERSION, 0), bytes(24))


@dataclass(frozen=True)
class Walls:
    """What a cell needs to confine itself: the private folder, the rules, the ABI, the harness's process id."""

    folder: str
    rules: int
    level: int
    harness: int

    def enter(self) -> None:
        """Confine this process, a cell, for good; OSError when that fails, and then no program may run."""
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self.harness:
            os._exit(1)
        _call("syscall", RESTRICT_SELF, self.rules, 0)
        text = seccomp.program(os.getpid(), truncation=self.level >= 3) or b""
        code = ctypes.create_string_buffer(text, len(text))
        _prctl(PR_SET_SECCOMP, FILTER_MODE, struct.pack("@HP", len(text) // 8, ctypes.addressof(code)))

    def exceeded(self, limits: Message, pid: int | None = None) -> str | None:
        """Which of the limits that no kernel enforces here is exceeded, if any: files, or the threads of `pid`."""
        with contextlib.suppress(OSError, IndexError):
            status = pathlib.Path(f"/proc/{pid}/stat").read_text() if pid else ""
            if status and int(status.rpartition(")")[2].split()[17]) > limits["processes"]:
                return f"started more than {limits['processes']} threads"
        return (
            f"kept more than {limits['files_mb']} MiB of files or {MOST_FILES} of them"
            if self.full(limits["files_mb"] << 20)
            else None
        )

    def full(self, most: int) -> bool:
        """Whether the private folder holds more than `most` bytes or MOST_FILES; true when it cannot be listed."""
        size, count, queue = 0, 0, [self.folder]
        while queue:
            try:
                with os.scandir(queue.pop()) as entries:
                    for entry in entries:
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
                        count += 1
                        if size > most or count > MOST_FILES:
                            return True
                        if entry.is_dir(follow_symlinks=False):
                            queue.append(entry.path)
            except FileNotFoundError:  # the program has removed it in the meantime
                continue
            except OSError:
                return True
        return False


def confine(folder: str, level: int, uid: int, readable: Sequence[str]) -> Walls:
    """Confine this process, the harness, for good; returns what its cells need. OSError when that fails.

    `folder` may be written; `readable` are files and folders to read besides the system's; `uid` is an unused user for
    root to become. The harness may read /proc, which its cells may not.
    """
    if os.geteuid() == 0:
        _drop_root(folder, uid, readable)
    _drop_capabilities()
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    rules = [(path, READ) for path in (*SYSTEM, *readable)]
    rules += [(os.devnull, READ_FILE | WRITE_FILE | TRUNCATE), (folder, WRITE)]
    cells = _ruleset(level, rules)
    own = _ruleset(level, [*rules, ("/proc", READ_FILE)])
    _call("syscall", RESTRICT_SELF, own, 0)
    os.close(own)
    return Walls(folder, cells, level, os.getpid())

"""The seccomp filter of a box: classic BPF, assembled here so that no library is needed.

Namespaces hide files, network and other processes; the filter denies the calls through which kernels have been attacked
from inside namespaces (mounts, tracing, bpf, io_uring, keyrings, ...), memory that no limit counts (memfd, System V
shared memory), sockets that a network namespace does not isolate (AF_VSOCK), limits set on another process, and typing
into a terminal.
Without namespaces (`lib.sandbox.landlock`) it also denies child processes, signals, sockets and changes of metadata.
"""

import errno
import platform
import struct

# name -> (x86_64 number, aarch64 number)
DENIED = {
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_getfd": (438, 438), "bpf": (321, 280),
    "perf_event_open": (298, 241), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "unshare": (272, 97), "setns": (308, 268),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "shmget": (29, 194), "shmat": (30, 196), "msgget": (68, 186), "semget": (64, 190),
    "mq_open": (240, 180), "personality": (135, 92), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "acct": (163, 89),
    "quotactl": (179, 60), "syslog": (103, 116), "setpriority": (141, 140), "ioprio_set": (251, 30),
}  # fmt: skip
OWN_PROCESS_ONLY = {  # the first argument, a pid, must be 0: the caller itself
    "prlimit64": (302, 261), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122), "sched_setattr": (314, 274),
}  # fmt: skip
# Denied as well where there are no namespaces (None: the architecture does not have the call): other processes, sockets
# with an address, and the metadata of files that can be named but not opened, which Landlock does not cover.
DENIED_ALONE: dict[str, tuple[int | None, int | None]] = {
    "fork": (57, None), "vfork": (58, None), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424),
    "connect": (42, 203), "bind": (49, 200), "inotify_init": (253, None), "inotify_init1": (294, 26),
    "fanotify_init": (300, 262), "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "utime": (132, None),
    "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88), "setxattr": (188, 5),
    "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
}  # fmt: skip
NEWER = 452  # fchmodat2 (Linux 6.6): this call and all after it, some of which change metadata, fail with ENOSYS
SOCKET, CLONE, CLONE3 = (41, 198), (56, 220), (435, 435)
FAMILIES = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: the network namespace isolates them all
NEW_NAMESPACES = 0x7E020000  # every CLONE_NEW* flag that clone() knows
CLONE_THREAD = 0x10000
EXEC = ((59, 221), (322, 281))  # execve, execveat
KILL_SELF = ((62, 129), (234, 131))  # kill, tgkill
FCNTL, IOCTL, PRCTL, SOCKETPAIR = (72, 25), (16, 29), (157, 167), (53, 199)
# Descriptors, flags, locks and pipe sizes; not signal owners, leases or notifications of changes in folders.
FCNTL_COMMANDS = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1031, 1032)
# TCGETS, TCGETS2, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX: those that Python itself uses
IOCTL_COMMANDS = (0x5401, 0x802C542A, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI and TIOCLINUX: both type into a terminal, whose shell would then run it
TRUNCATE, OPEN, OPENAT, OPENAT2 = (76, 45), (2, None), (257, 56), (437, 437)
O_TRUNC, WRITING, NOT_STREAM = 0x200, 3, 0xE  # bits of open()'s flags, and of a socket's type (SOCK_STREAM is 1)
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

LOAD, JUMP, JUMP_EQUAL, JUMP_GREATER_EQUAL, JUMP_BITS, RETURN = 0x20, 0x05, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL = 0x7FFF0000, 0x80000000
NUMBER, ARCHITECTURE, ARGUMENT = 0, 4, (16, 24, 32)  # offsets in struct seccomp_data (low half of an argument)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


def _refuse(error: int) -> bytes:
    return _step(RETURN, 0x00050000 | error)


def _choose(number: int, argument: int, values: tuple[int, ...], listed: bytes, others: bytes) -> list[bytes]:
    """Two answers to a call, by whether its argument is one of the values (the kernel, too, reads its low half)."""
    steps = [_step(JUMP_EQUAL, number, 0, 3 + len(values)), _step(LOAD, ARGUMENT[argument])]
    steps += [_step(JUMP_EQUAL, value, len(values) - i, 0) for i, value in enumerate(values)]
    return [*steps, others, listed]


def _only(number: int, argument: int, values: tuple[int, ...], error: int = errno.EPERM) -> list[bytes]:
    """Deny a call unless its argument is one of the values."""
    return _choose(number, argument, values, _step(RETURN, ALLOW), _refuse(error))


def _clone(number: int, threads_only: bool) -> list[bytes]:
    """Deny clone() with a new namespace; with `threads_only`, anything but a thread."""
    needs = [_step(JUMP_BITS, CLONE_THREAD, 1, 0)] if threads_only else [_step(JUMP, 1)]
    steps = [_step(JUMP_EQUAL, number, 0, 5), _step(LOAD, ARGUMENT[0]), _step(JUMP_BITS, NEW_NAMESPACES, 1, 0)]
    return [*steps, *needs, _refuse(errno.EPERM), _step(RETURN, ALLOW)]


def _alone(column: int, pid: int) -> list[bytes]:
    """Deny what a process without namespaces could do to others; it may signal `pid`, which is itself."""
    steps = [_step(JUMP_GREATER_EQUAL, NEWER, 0, 1), _refuse(errno.ENOSYS)]
    for numbers in EXEC:  # a program that execs another would escape the cell's evidence: it is killed
        steps += [_step(JUMP_EQUAL, numbers[column], 0, 1), _step(RETURN, KILL)]
    for numbers in DENIED_ALONE.values():
        if (number := numbers[column]) is not None:
            steps += [_step(JUMP_EQUAL, number, 0, 1), _refuse(errno.EPERM)]
    for numbers in KILL_SELF:
        steps += _only(numbers[column], 0, (pid,))
    steps += _only(FCNTL[column], 1, FCNTL_COMMANDS) + _only(IOCTL[column], 1, IOCTL_COMMANDS)
    # prctl(PR_SET_PDEATHSIG): a program must not outlive the harness
    steps += [_step(JUMP_EQUAL, PRCTL[column], 0, 4), _step(LOAD, ARGUMENT[0]), _step(JUMP_EQUAL, 1, 0, 1)]
    steps += [_refuse(errno.EPERM), _step(RETURN, ALLOW)]
    # only socketpair(AF_UNIX, SOCK_STREAM): a pair of any other type can send to an address
    steps += [_step(JUMP_EQUAL, SOCKETPAIR[column], 0, 6), _step(LOAD, ARGUMENT[0]), _step(JUMP_EQUAL, 1, 0, 2)]
    steps += [_step(LOAD, ARGUMENT[1]), _step(JUMP_BITS, NOT_STREAM, 0, 1)]
    return [*steps, _refuse(errno.EPERM), _step(RETURN, ALLOW)]


def _no_truncation(column: int) -> list[bytes]:
    """Deny truncating a file by name, or while opening it for reading: Landlock before ABI 3 does not."""
    steps = [_step(JUMP_EQUAL, TRUNCATE[column], 0, 1), _refuse(errno.EPERM)]
    steps += [_step(JUMP_EQUAL, OPENAT2[column], 0, 1), _refuse(errno.ENOSYS)]  # a filter cannot read its flags
    for numbers, flags in ((OPEN, 1), (OPENAT, 2)):
        if (number := numbers[column]) is not None:
            steps += [_step(JUMP_EQUAL, number, 0, 5), _step(LOAD, ARGUMENT[flags]), _step(JUMP_BITS, O_TRUNC, 0, 2)]
            steps += [_step(JUMP_BITS, WRITING, 1, 0), _refuse(errno.EPERM), _step(RETURN, ALLOW)]
    return steps


def program(alone: int | None = None, truncation: bool = True) -> bytes | None:
    """The filter's BPF program for this machine, as `bwrap --seccomp` takes it; None for an architecture not listed.

    `alone` is the caller's own process id where no namespaces isolate it; truncation=False denies truncating files that
    cannot be written, for kernels whose Landlock does not.
    """
    if platform.machine() not in ARCHITECTURES:
        return None
    column, architecture = ARCHITECTURES[platform.machine()]
    steps = [_step(LOAD, ARCHITECTURE), _step(JUMP_EQUAL, architecture, 1, 0), _step(RETURN, KILL)]
    steps += [_step(LOAD, NUMBER)]
    steps += [_step(JUMP_GREATER_EQUAL, 0x40000000, 0, 1), _refuse(errno.EPERM)]  # x86_64's second, x32 call table
    for numbers in DENIED.values():
        steps += [_step(JUMP_EQUAL, numbers[column], 0, 1), _refuse(errno.EPERM)]
    # glibc falls back to clone(), whose flags a filter can read, when clone3() fails with ENOSYS
    steps += [_step(JUMP_EQUAL, CLONE3[column], 0, 1), _refuse(errno.ENOSYS)]
    steps += _clone(CLONE[column], threads_only=alone is not None)
    for numbers in OWN_PROCESS_ONLY.values():
        steps += _only(numbers[column], 0, (0,))
    steps += _only(SOCKET[column], 0, FAMILIES if alone is None else (), errno.EAFNOSUPPORT)
    refused = _refuse(errno.EPERM), _step(RETURN, ALLOW)
    steps += _choose(IOCTL[column], 1, TERMINAL_INPUT, *refused) if alone is None else _alone(column, alone)
    steps += [] if truncation else _no_truncation(column)
    return b"".join([*steps, _step(RETURN, ALLOW)])

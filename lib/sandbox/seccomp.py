"""The system-call filter of a box: classic BPF, written by hand so that no library is needed.

Namespaces take away files, network and other processes; the filter takes away the calls by which kernels have been
attacked from inside them (mounts, tracing, bpf, io_uring, keyrings, ...), memory that no limit counts (memfd, System V
shared memory), sockets that a network namespace does not isolate (AF_VSOCK), and limits set on another process.
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
SOCKET, CLONE, CLONE3 = (41, 198), (56, 220), (435, 435)
FAMILIES = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: all of them live inside the network namespace
NEW_NAMESPACES = 0x7E020000  # every CLONE_NEW* flag that clone() knows
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

LOAD, JUMP_EQUAL, JUMP_GREATER_EQUAL, JUMP_BITS, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL = 0x7FFF0000, 0x80000000
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data (low half of the argument)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


def _refuse(error: int) -> bytes:
    return _step(RETURN, 0x00050000 | error)


def program() -> bytes | None:
    """The filter's BPF program for this machine, as `bwrap --seccomp` wants it; None for an architecture not listed."""
    if platform.machine() not in ARCHITECTURES:
        return None
    column, architecture = ARCHITECTURES[platform.machine()]
    steps = [_step(LOAD, ARCHITECTURE), _step(JUMP_EQUAL, architecture, 1, 0), _step(RETURN, KILL)]
    steps += [_step(LOAD, NUMBER)]
    steps += [_step(JUMP_GREATER_EQUAL, 0x40000000, 0, 1), _refuse(errno.EPERM)]  # x86_64's second, x32 call table
    for numbers in DENIED.values():
        steps += [_step(JUMP_EQUAL, numbers[column], 0, 1), _refuse(errno.EPERM)]
    # glibc falls back to clone(), whose flags a filter can read, when clone3() seems not to exist
    steps += [_step(JUMP_EQUAL, CLONE3[column], 0, 1), _refuse(errno.ENOSYS)]
    steps += [_step(JUMP_EQUAL, CLONE[column], 0, 4), _step(LOAD, FIRST_ARGUMENT)]
    steps += [_step(JUMP_BITS, NEW_NAMESPACES, 0, 1), _refuse(errno.EPERM), _step(RETURN, ALLOW)]
    for numbers in OWN_PROCESS_ONLY.values():
        steps += [_step(JUMP_EQUAL, numbers[column], 0, 4), _step(LOAD, FIRST_ARGUMENT)]
        steps += [_step(JUMP_EQUAL, 0, 1, 0), _refuse(errno.EPERM), _step(RETURN, ALLOW)]
    steps += [_step(JUMP_EQUAL, SOCKET[column], 0, 2 + len(FAMILIES)), _step(LOAD, FIRST_ARGUMENT)]
    steps += [_step(JUMP_EQUAL, family, len(FAMILIES) - i, 0) for i, family in enumerate(FAMILIES)]
    return b"".join([*steps, _refuse(errno.EAFNOSUPPORT), _step(RETURN, ALLOW)])

"""What the machine can do at most: its rate of bfloat16 matrix products."""

import time

import torch

SIDE = 2048  # of the square matrices that are multiplied


def matrix_rate() -> float:
    """Return the bf16 multiply-adds of this machine in operations a second (two a multiply-add)."""
    one, other = (torch.randn(SIDE, SIDE, dtype=torch.bfloat16) for _ in range(2))
    torch.mm(one, other)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < 2:
        torch.mm(one, other)
        count += 1
    return 2 * SIDE**3 * count / (time.perf_counter() - start)

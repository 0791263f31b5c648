"""Our own large inputs for EvalPerf's tasks, for where its own (`pe_input`) are not to be had; costs on them say so.

Sizes are such that the slowest published reference with code takes about a second at most. What decides between a
task's references is in them: a duplicate near the beginning for those that stop early, a prime for those that search
for divisors. Where an order of equal elements would matter, there are none.
"""

import random
import string
from collections.abc import Callable
from typing import Any

Make = Callable[[random.Random], list[Any]]
PRIME, LARGE_PRIME = 15_485_863, 1_000_000_000_039  # the millionth prime; the first above 10**12
DIVISIBLE = 2_162_160  # has more divisors (320) than any smaller number
LONG, SQUARE = 200_000, 4000  # elements, for references that are linear, and where some are quadratic
EARLY = 1000  # elements before that at which a reference can stop


def scaled(task: str) -> list[Any]:
    """Return the arguments of the call on which a task's solutions are measured; KeyError when it has none."""
    return INPUTS[task](random.Random(task))


def ints(r: random.Random, n: int, high: int = 1_000_000, low: int = 0) -> list[int]:
    """Return n numbers from low to high."""
    return [r.randint(low, high) for _ in range(n)]


def distinct(r: random.Random, n: int, high: int = 10_000_000) -> list[int]:
    """Return n different numbers from 0 to high."""
    return r.sample(range(high + 1), n)


def floats(r: random.Random, n: int) -> list[float]:
    """Return n numbers from 0 to a million."""
    return [r.uniform(0, 1e6) for _ in range(n)]


def letters(r: random.Random, n: int, alphabet: str = string.ascii_lowercase) -> str:
    """Return a text of n characters."""
    return "".join(r.choices(alphabet, k=n))


def words(r: random.Random, n: int, longest: int = 10) -> list[str]:
    """Return n words of 1 to `longest` letters."""
    return [letters(r, r.randint(1, longest)) for _ in range(n)]


def rows(r: random.Random, n: int, width: int, high: int = 1_000_000) -> list[list[int]]:
    """Return n lists of `width` numbers."""
    return [ints(r, width, high) for _ in range(n)]


def uneven(r: random.Random, n: int, width: int) -> list[list[int]]:
    """Return n lists of numbers with different sums."""
    return [*{sum(row): row for row in rows(r, n, width)}.values()]


def magic(n: int) -> list[list[int]]:
    """Return a magic square of odd order n, by the Siamese method."""
    square = [[0] * n for _ in range(n)]
    row, column = 0, n // 2
    for number in range(1, n * n + 1):
        square[row][column] = number
        above, right = (row - 1) % n, (column + 1) % n
        row, column = ((row + 1) % n, column) if square[above][right] else (above, right)
    return square


def reversals(r: random.Random, n: int) -> list[str]:
    """Return n different words, half of which are others of them reversed; none reads the same both ways."""
    first = [f"a{letters(r, 8)}b" for _ in range(n // 2)]
    return [word for pair in {one: one[::-1] for one in first}.items() for word in pair]


def named(r: random.Random, values: list[int]) -> list[tuple[str, int]]:
    """Return (word, value) pairs."""
    return [*zip(words(r, len(values)), values, strict=True)]


HUMANEVAL: dict[int, Make] = {
    0: lambda r: [[5.0, *floats(r, EARLY), 5.1, *floats(r, 20_000)], 0.2],
    4: lambda r: [floats(r, 20_000)],
    9: lambda r: [ints(r, SQUARE)],
    16: lambda r: [letters(r, LONG, string.ascii_letters)],
    20: lambda r: [floats(r, 1500)],
    24: lambda r: [PRIME],
    26: lambda r: [ints(r, SQUARE, 3000)],
    31: lambda r: [LARGE_PRIME],
    33: lambda r: [ints(r, SQUARE)],
    34: lambda r: [ints(r, 6000, SQUARE)],
    36: lambda r: [LONG],
    37: lambda r: [ints(r, 20_000)],
    49: lambda r: [300_000, 101],
    51: lambda r: [letters(r, LONG)],
    54: lambda r: [letters(r, LONG), letters(r, LONG)],
    58: lambda r: [ints(r, 2500, 5000), ints(r, 2500, 5000)],
    59: lambda r: [2 * 999_983],
    64: lambda r: [letters(r, LONG)],
    74: lambda r: [words(r, 50_000), words(r, 50_000)],
    85: lambda r: [ints(r, LONG)],
    86: lambda r: [" ".join(letters(r, 30) for _ in range(3000))],
    87: lambda r: [rows(r, 300, 300, 150), 7],
    89: lambda r: [letters(r, LONG)],
    90: lambda r: [distinct(r, 5000)],
    113: lambda r: [[letters(r, 50, string.digits) for _ in range(2000)]],
    119: lambda r: [["(" * 50_000, ")" * 50_000]],
    120: lambda r: [ints(r, 1000, 1000, -1000), 500],
    121: lambda r: [ints(r, LONG)],
    149: lambda r: [words(r, 20_000)],
}
MBPP: dict[int, Make] = {
    3: lambda r: [PRIME],
    4: lambda r: [distinct(r, 20_000), 5000],
    9: lambda r: [letters(r, 10_000, "ab")],
    11: lambda r: ["a" * 50_000 + "x" + "a" * 100_000 + "x" + "a" * 50_000, "x"],
    12: lambda r: [uneven(r, 5000, 20)],
    16: lambda r: ["ab_" * 50_000 + "c"],
    19: lambda r: [[*range(EARLY), 5, *ints(r, LONG)]],
    62: lambda r: [ints(r, LONG)],
    75: lambda r: [[tuple(row) for row in rows(r, 20_000, 5)], 6],
    88: lambda r: [ints(r, SQUARE, 500)],
    90: lambda r: [words(r, 50_000)],
    94: lambda r: [named(r, [*(10 + number for number in distinct(r, 2000)), 1])],
    96: lambda r: [DIVISIBLE],
    97: lambda r: [rows(r, 60, 60, 500)],
    106: lambda r: [ints(r, LONG), tuple(ints(r, LONG))],
    108: lambda r: [ints(r, 400), ints(r, 400), ints(r, 400)],
    111: lambda r: [rows(r, 50, 1000, 1500)],
    123: lambda r: [20_000],
    128: lambda r: [3, " ".join(words(r, 30_000))],
    129: lambda r: [magic(151)],
    130: lambda r: [[*ints(r, SQUARE, 400), *[7] * 200]],
    137: lambda r: [ints(r, LONG, 9)],
    140: lambda r: [rows(r, 2000, 10)],
    141: lambda r: [distinct(r, 600)],
    166: lambda r: [ints(r, 2000)],
    170: lambda r: [ints(r, LONG), 10_000, 190_000],
    226: lambda r: [letters(r, LONG)],
    230: lambda r: [letters(r, LONG, "abc "), "-"],
    239: lambda r: [100, 5],
    240: lambda r: [ints(r, 100_000), ints(r, 100_000)],
    251: lambda r: [words(r, 10_000), "c"],
    256: lambda r: [10_000],
    265: lambda r: [ints(r, 100_000), 7],
    281: lambda r: [[*range(EARLY), 5, *ints(r, LONG)]],
    296: lambda r: [ints(r, 2000)],
    308: lambda r: [distinct(r, 150), distinct(r, 150), 200],
    392: lambda r: [60_000],
    395: lambda r: [letters(r, 40_000, "abcdefgh") + "aabbccddeeffgghh" + "z"],
    405: lambda r: [tuple(ints(r, LONG)), -1],
    414: lambda r: [[*ints(r, EARLY), -7, *ints(r, 500)], [-7, *ints(r, 1500)]],
    421: lambda r: [tuple([*words(r, 25_000), *ints(r, 25_000)])],
    424: lambda r: [tuple(words(r, 100_000))],
    425: lambda r: [rows(r, 2000, 30, 100), 7],
    428: lambda r: [ints(r, 5000)],
    433: lambda r: [ints(r, LONG), 1_000_001],
    437: lambda r: [letters(r, LONG)],
    440: lambda r: [f"{'aaaa bbb! cc ' * 2000}clearly!! we see"],
    446: lambda r: [tuple(ints(r, 2000, 3000)), distinct(r, 1000, 3000)],
    451: lambda r: [letters(r, LONG, "abc ")],
    456: lambda r: [words(r, 50_000)],
    460: lambda r: [rows(r, 50_000, 3)],
    474: lambda r: [letters(r, LONG, "abcd"), "a", "b"],
    476: lambda r: [ints(r, LONG)],
    477: lambda r: [letters(r, LONG, string.ascii_letters)],
    563: lambda r: [", ".join(f'"{word}"' for word in words(r, 20_000))],
    572: lambda r: [ints(r, SQUARE, 3000)],
    578: lambda r: [ints(r, 50_000), ints(r, 50_000), ints(r, 50_000)],
    586: lambda r: [ints(r, LONG), 100_000],
    587: lambda r: [ints(r, LONG)],
    588: lambda r: [ints(r, LONG)],
    592: lambda r: [300],
    597: lambda r: [sorted(ints(r, 50_000)), sorted(ints(r, 50_000)), 75_000],
    604: lambda r: [" ".join(words(r, 50_000))],
    610: lambda r: [ints(r, LONG), 100_000],
    611: lambda r: [rows(r, 2000, 50), 20],
    631: lambda r: [letters(r, LONG, "abc ")],
    632: lambda r: [ints(r, SQUARE, 1)],
    633: lambda r: [ints(r, 2000), 2000],
    644: lambda r: [ints(r, LONG), 150_000],
    720: lambda r: [tuple(ints(r, LONG)), {"one": 1, "two": 2}],
    725: lambda r: [" ".join(f'{word} "{word}"' for word in words(r, 20_000))],
    732: lambda r: [letters(r, 20_000, "abcdefgh ,.")],
    740: lambda r: [tuple(distinct(r, 100_000))],
    744: lambda r: [tuple(ints(r, LONG))],
    750: lambda r: [ints(r, 100_000), tuple(ints(r, 100_000))],
    753: lambda r: [named(r, distinct(r, 20_000)), 100],
    754: lambda r: [ints(r, 50_000, 2), ints(r, 50_000, 2), ints(r, 50_000, 2)],
    755: lambda r: [distinct(r, 50_000)],
    757: lambda r: [reversals(r, 800)],
    758: lambda r: [rows(r, 3000, 3, 9)],
    760: lambda r: [[7] * LONG],
    764: lambda r: [letters(r, LONG, string.ascii_lowercase + string.digits)],
    766: lambda r: [ints(r, 100_000)],
    775: lambda r: [[2 * number + place % 2 for place, number in enumerate(ints(r, LONG))]],
    777: lambda r: [ints(r, 5000, SQUARE)],
    781: lambda r: [DIVISIBLE],
    800: lambda r: [letters(r, LONG, "abc ")],
    805: lambda r: [uneven(r, 2000, 50)],
    808: lambda r: [tuple(ints(r, LONG)), -1],
}
# Of `own/evalperf.json`.
OWN: dict[str, Make] = {
    "busiest": lambda r: [ints(r, 3000, 99), 1000],
    "free_seat": lambda r: [r.sample([*range(3000), *range(3001, 6000)], 5999)],
    "pairs_apart": lambda r: [ints(r, 1500, 2000), 12],
}
INPUTS: dict[str, Make] = {
    **{f"HumanEval/{number}": make for number, make in HUMANEVAL.items()},
    **{f"Mbpp/{number}": make for number, make in MBPP.items()},
    **{f"Own/{name}": make for name, make in OWN.items()},
}

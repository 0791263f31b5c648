"""Near-duplicates among synthetic functions: `python -m perf.near_duplicates [N]`, beside datasketch's MinHash LSH.

The functions are real ones of the pinned corpus (in the cache, so run the laptop profile once) of 40 words or more, a
fifth of whose words are replaced at random: two made from the same function share about one shingle in ten, so that
the index holds pairs that are no duplicates. Every fifth text is an earlier one with one word changed. Last come texts
that share boilerplate, each pair with a similarity of 1/3, of which twice as many should take about twice as long.
"""

import random
import re
import resource
import sys
import time
import zipfile
from collections.abc import Iterator

from datasketch import MinHash, MinHashLSH

from lib.core.paths import cache_folder
from lib.core.records import StudyError
from lib.corpora.source import SourceFile
from lib.curate import extract
from lib.overlap import near_duplicates

PEER = 20_000  # texts that the peer is given
EVERY = 5  # one text in EVERY is a near-duplicate
BOILERPLATE = (1_000, 2_000, 4_000, 8_000)  # texts
SHARED = 60  # words of boilerplate, and as many of a text's own


def real_functions() -> list[list[str]]:
    """The corpus' functions, each split into words and what is between them."""
    found = []
    for wheel in sorted((cache_folder() / "corpora").glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in sorted(name for name in archive.namelist() if name.endswith(".py")):
                try:
                    functions = list(extract.functions(SourceFile(wheel.name, "", "", name, archive.read(name))))
                except extract.Unreadable:
                    continue
                found += [re.split(r"(\W+)", function.code) for function in functions]
    if not found:
        raise StudyError("no wheels in the cache: run the first notebook once")
    return [parts for parts in found if len(parts) >= 80]


class Texts:
    """`count` synthetic texts in rising order of id; `seconds` is the time that making them took."""

    def __init__(self, functions: list[list[str]], count: int):
        self.functions = functions
        self.words = sorted({part for parts in functions for part in parts if part.isidentifier()})
        self.count = count
        self.seconds = 0.0

    def text(self, number: int) -> str:
        """The text of a number."""
        rng = random.Random(number)
        twin = number % EVERY == EVERY - 1
        if twin:
            rng.seed(rng.randrange(number // EVERY + 1) * EVERY)  # draws what an earlier text drew
        parts = list(rng.choice(self.functions))
        places = range(0, len(parts), 2)
        for place in rng.sample(places, len(places) // 5):
            parts[place] = rng.choice(self.words)
        if twin:
            parts[rng.choice(places)] = f"twin{number}"
        return "".join(parts)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for number in range(self.count):
            start = time.perf_counter()
            text = self.text(number)
            self.seconds += time.perf_counter() - start
            yield f"{number:09d}", text


def peer(texts: Texts) -> int:
    """How many texts a plain MinHash LSH drops: each is looked up, and inserted when nothing is found."""
    index = MinHashLSH(threshold=0.5, num_perm=128)
    dropped = 0
    for key, text in texts:
        words = re.findall(r"\w+", text)
        signature = MinHash(num_perm=128)
        signature.update_batch([" ".join(words[start : start + 5]).encode() for start in range(len(words) - 4)])
        if index.query(signature):
            dropped += 1
        else:
            index.insert(key, signature)
    return dropped


def report(what: str, dropped: int, texts: Texts, start: float) -> float:
    """Print what a method did since the start, and return its functions per second."""
    seconds = time.perf_counter() - start - texts.seconds
    usage = [resource.getrusage(who).ru_maxrss / 2**20 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    rate = texts.count / seconds
    share = dropped / texts.count
    print(f"{what}: {texts.count:,} functions in {seconds:.1f} s, {rate:,.0f} per second; ", end="")
    print(f"{share:.2%} dropped; peak memory {sum(usage):.2f} GiB", flush=True)
    return rate


def boilerplate(count: int) -> float:
    """Seconds of processor time for texts of which each pair has a similarity of 1/3."""
    common = " ".join(f"common{place}" for place in range(SHARED))
    texts = [
        (f"{number:09d}", common + "".join(f" own{number}_{place}" for place in range(SHARED)))
        for number in range(count)
    ]
    start = time.process_time()
    near_duplicates.scan(texts)
    return time.process_time() - start


def main(count: int) -> None:
    """Time ours at PEER texts, a tenth of the count and the count, the peer at PEER, and ours with boilerplate."""
    functions = real_functions()
    words = sum(len(parts) for parts in functions) / 2 / len(functions)
    print(f"made from {len(functions):,} functions of {words:.0f} words; 1 in {EVERY} is a near-duplicate", flush=True)
    rates = {}
    for size in (PEER, count // 10, count):
        texts = Texts(functions, size)
        start = time.perf_counter()
        rates[size] = report("this study", len(near_duplicates.scan(texts)), texts, start)
    texts = Texts(functions, PEER)
    start = time.perf_counter()
    rate = report("datasketch", peer(texts), texts, start)
    print(f"ratio: {rates[PEER] / rate:.1f} for as many texts, {rates[count] / rate:.1f} with ours at {count:,}")
    for size in BOILERPLATE:
        print(f"boilerplate: {size:,} texts in {boilerplate(size):.2f} s", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)

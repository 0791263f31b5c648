"""A small pool as the stages 01 to 03 record it, two more with other answers to its tasks, and a plan over them."""

import json
import random
from pathlib import Path

import pytest
import yaml
from helpers import WORDS

from lib.core.records import write_records

TASKS = 20
SOURCE = {"package": "toolbox", "version": "1.0", "licence": "MIT", "path": "toolbox/a.py", "line": 1}
FACTS = {"exemplars": ["e"], "sampling_seed": 1, "request": "r", "model": "m", "engine": "v"}
SYNTHESIS = {"PROMPTS": "fenced", "SAMPLES": 6}
FILTERING = {"CPU_SECONDS": 3.0, "MEMORY_MB": 1024, "OUTPUT_KB": 64, "PACKAGES": [], "SELECTION": "paper"}


def name_of(task: int) -> str:
    return f"{WORDS[task % 12]}_{WORDS[task // 12]}_parts"


def prose(rng: random.Random, count: int) -> str:
    """Words of which no two texts share five in a row."""
    return " ".join(f"{rng.choice(WORDS)}{rng.randrange(999)}" for _ in range(count))


def instruction(task: int) -> str:
    return f"Write a function {name_of(task)} of one number. {prose(random.Random(f'task {task}'), 15)}"


def program(task: int, right: bool) -> tuple[str, str]:
    """(code, tests), the code right or wrong by one."""
    a, b, c = task + 3, 5 * task + 2, task + 7
    code = f"def {name_of(task)}(number):\n    total = number * {a} + {b if right else b + 1}\n"
    code += f"    return [total, total % {c}, {WORDS[task % 12]!r}]"
    expected = [[n * a + b, (n * a + b) % c, WORDS[task % 12]] for n in (2, 9)]
    return code, "\n".join(f"assert {name_of(task)}({n}) == {e!r}" for n, e in zip((2, 9), expected, strict=True))


def answer(task: int, right: bool, rng: random.Random, words: int) -> tuple[str, dict]:
    """(text of a response, its verdict without the id)."""
    code, tests = program(task, right)
    text = f"{prose(rng, words)}\n```python\n{code}\n```\n</response>\n\n<tests>\n```python\n{tests}\n```"
    verdict = {"verdict": "pass" if right else "fail", "detail": "", "tier": "t", "code": code, "tests": tests}
    return text, verdict


def write_pool(folder: Path, answers: list[tuple[bool, int]], shift: int = 0) -> Path:
    """Record a pool: to every task the given answers (right, words), give or take a third; `shift` makes other ids."""
    tasks, responses, verdicts = [], [], []
    for task in range(TASKS):
        identity = f"task{task + shift:04d}"
        facts = {"seed": "s", "category": "function implementation", "difficulty": "easy"}
        tasks.append({"id": identity, "parent": "c", "instruction": instruction(task), **facts, **FACTS})
        for sample, (right, words) in enumerate(answers):
            rng = random.Random(f"{folder.name} {task} {sample}")
            text, verdict = answer(task, right, rng, round(words * rng.uniform(0.67, 1.33)))
            name = f"{folder.name}-{task:04d}-{sample}"
            responses.append(
                {"id": name, "parent": identity, "seed": "s", "sample": sample, "text": text, "tokens": 9, **FACTS}
            )
            verdicts.append({"id": name, **verdict})
    stages = {"01_seed_curation": {}, "02_self_oss_instruct": SYNTHESIS, "03_execution_filtering": FILTERING}
    for stage, parameters in stages.items():
        (folder / stage).mkdir(parents=True)
        given = parameters | ({"SELECTION_OPTIONS": {}} if stage.startswith("03") else {})
        (folder / stage / "manifest.json").write_text(json.dumps({"parameters": given}))
    write_records(folder / "01_seed_curation" / "seeds.jsonl", [{"id": "s", "source": SOURCE}])
    write_records(folder / "02_self_oss_instruct" / "instructions.jsonl", tasks)
    half = len(responses) // 2  # a large file lies in shards
    write_records(folder / "02_self_oss_instruct" / "responses-00.jsonl.gz", responses[:half])
    write_records(folder / "02_self_oss_instruct" / "responses-01.jsonl.gz", responses[half:])
    write_records(folder / "03_execution_filtering" / "verdicts.jsonl.gz", verdicts)
    return folder


@pytest.fixture(scope="session")
def pools(tmp_path_factory) -> dict[str, str]:
    """Passing answers are shorter than failing ones; a terse pool; one of a teacher, whose tasks have other ids."""
    root = tmp_path_factory.mktemp("pools")
    mixed = [(True, 18), (True, 30), (False, 30), (False, 45), (False, 60)]
    return {
        "full": str(write_pool(root / "full", mixed)),
        "terse": str(write_pool(root / "terse", [(True, 4), (False, 6)])),
        "teacher": str(write_pool(root / "teacher", [(True, 20), (True, 40)], shift=500)),
    }


@pytest.fixture
def plan_text(pools) -> dict:
    """A plan, as YAML reads it, over these pools."""
    base = {"base": "tiny", "seed": 1, "pools": pools, "validation": {"tasks": 4, "mutants": 2, "seed": 3}}
    training = {"batch": 4, "micro_batch": 2, "lora_rank": 4, "held_out": 0.1, "checkpoint_steps": 2}
    scoring = {"benchmarks": ["humaneval"], "samples": 2, "temperature": 0.2, "max_tokens": 24, "problems": 3}
    arms = {
        name: {"recipe": "full", "selection": name, "tasks": "one", "seeds": [1, 2]} for name in ("passing", "failing")
    }
    arms |= {name: arms["passing"] | {"selection": name} for name in ("random", "shuffled")}
    arms |= {
        "none": {"selection": "none", "seeds": [1]},
        "teacher": arms["passing"] | {"recipe": "teacher"},
        "long-style": arms["passing"] | {"tasks": "two"},
        "terse-style": arms["passing"] | {"recipe": "terse", "tasks": "two"},
        "tuning": arms["passing"] | {"selection": "kept", "seeds": [5, 6]},
    }
    conclude = {"above": "Yes.", "inconclusive": "Not shown.", "below": "No."}
    question = {"better": "passing", "worse": "failing", "asks": "Do passing ones?", "expectation": "yes"}
    question |= {"problems": 3, "samples": 2, "seeds": 2, "conclude": conclude, "detectable": None}
    paper = {"better": 65.2, "worse": 57.9, "source": "Table 9"}
    return base | {
        "tasks": {"one": {"match": True}, "two": {"match": False}},
        "budget": {"tolerance": 0.05, "training": training},
        "scoring": scoring | {"engine": "transformers", "max_seqs": 2},
        "grid": {"arm": "tuning", "seed": 5, "learning_rates": [0.001, 0.01], "epochs": [1], "chosen": None},
        "arms": arms,
        "controls": {"positive": "teacher", "negative": "shuffled", "pilot": "tuning"},
        "questions": [
            {"id": "first", "paper": paper} | question,
            {"id": "second"} | question | {"worse": "none"},
        ],
    }


@pytest.fixture
def plan_file(plan_text, tmp_path) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(plan_text, sort_keys=False))
    return path

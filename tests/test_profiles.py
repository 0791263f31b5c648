"""Every value of the profiles that repeat published experiments, with its source: none may change, appear or vanish."""

import pytest

from lib.runner.profiles import BASE, files_of, load_profile, written

CURATION, GENERATION, FILTERING = "01_seed_curation", "02_self_oss_instruct", "03_execution_filtering"
TRAINING, EVALUATION, BEYOND = "04_sft", "05_evaluation", "06_beyond_functions"
PAPER, STARCODER2, BOTH = ("paper",), ("starcoder2",), ("paper", "starcoder2")
OFF = "the study's own; a bound that excludes nothing, because the official rules have none"
OWN = "the study's own"
BENCHMARKS = ["humaneval", "humaneval+@v0.1.9", "mbpp@v0.1.0", "mbpp+@v0.1.0"]  # evalplus at commit 25e195e
BENCHMARKS += [f"evoeval-{which}" for which in ("difficult", "creative", "subtle", "combine", "tool_use")]
CATEGORIES = {"function implementation": 2, "class implementation": 1, "program implementation": 1}
DIFFICULTIES = {"easy": 1, "medium": 1, "hard": 1}

# profiles, notebook, parameter, value, source. Sections and tables are those of arXiv 2410.24198. Files are those of
# bigcode-project/selfcodealign (the paper's pipeline) and, where "older" is said, of its first version, that of
# StarCoder2-Instruct.
VALUES = [
    (BOTH, CURATION, "CORPUS", "hub:bigcode/the-stack-dedup", "section B.1; seed_gathering/generate_from_the_stack.py"),
    (BOTH, CURATION, "RULES", "official", "section B.2; seed_gathering/filter_dataset.py"),
    (BOTH, CURATION, "MIN_BODY", 1, OFF),
    (BOTH, CURATION, "MAX_LINES", 150, "seed_gathering/filter_dataset.py"),
    (BOTH, CURATION, "MAX_CHARS", 1_000_000, OFF),
    (BOTH, CURATION, "MIN_WORDS", 0, OFF),
    (BOTH, CURATION, "PER_PACKAGE", 100_000_000, OFF),
    (BOTH, CURATION, "JUDGED", 100_000_000, "section B.2: every docstring is judged"),
    (BOTH, CURATION, "JUDGED_TWICE", 1000, OWN),
    (BOTH, CURATION, "JUDGE", "bigcode/starcoder2-15b", "section B.2; seed_gathering/filter_dataset.py"),
    (BOTH, CURATION, "CHECK_WITH", "study", "high_quality_subset.py: pyright in an environment with torch"),
    (BOTH, CURATION, "ENGINE", "ray", OWN),
    (
        BOTH,
        CURATION,
        "ENGINE_OPTIONS",
        {"workers": 4, "max_model_len": 16384},
        "filter_dataset.py: vLLM's default, the window of StarCoder2-15B",
    ),
    (BOTH, CURATION, "MAX_SEQS", 512, "seed_gathering/filter_dataset.py, the judge's batch"),
    (PAPER, GENERATION, "MODEL", "Qwen/CodeQwen1.5-7B", "section 3"),
    (STARCODER2, GENERATION, "MODEL", "bigcode/starcoder2-15b", "README.md, older"),
    (BOTH, GENERATION, "ENGINE", "ray", OWN),
    (BOTH, GENERATION, "ENGINE_OPTIONS", {"workers": 4}, "section C.4: four GPUs"),
    (PAPER, GENERATION, "PROMPTS", "paper", "self_ossinstruct.py"),
    (STARCODER2, GENERATION, "PROMPTS", "starcoder2", "self_ossinstruct.py, older"),
    (BOTH, GENERATION, "RESTRICTED", False, "self_ossinstruct.py has no such checks"),
    (BOTH, GENERATION, "EXEMPLARS", "full", "prompts/self-ossinstruct-fewshot.txt: words of its 21 examples"),
    (BOTH, GENERATION, "RESPONSE_EXEMPLARS", "full", "prompts/self-ossinstruct-fewshot.txt: words of its 21 examples"),
    (STARCODER2, GENERATION, "MAX_WORDS", 0, "sanitize_data.py and clean_data.py, older, have no such bound"),
    (BOTH, GENERATION, "N_SEEDS", 250_000, "section B.2: 248,934 seeds"),
    (BOTH, GENERATION, "DECKS", 0, "self_ossinstruct.py: a fresh draw for every prompt"),
    (BOTH, GENERATION, "RESPONSE_DECKS", 0, "self_ossinstruct.py: a fresh draw for every prompt"),
    (BOTH, GENERATION, "SAMPLES", 10, "README.md"),
    (BOTH, GENERATION, "CONCEPT_TOKENS", 1536, "self_ossinstruct.py"),
    (BOTH, GENERATION, "INSTRUCTION_TOKENS", 1536, "self_ossinstruct.py"),
    (BOTH, GENERATION, "RESPONSE_TOKENS", 1536, "self_ossinstruct.py"),
    (PAPER, GENERATION, "CATEGORIES", CATEGORIES, "self_ossinstruct.py: its list has functions twice"),
    (STARCODER2, GENERATION, "CATEGORIES", {"function implementation": 1}, "self_ossinstruct.py, older"),
    (BOTH, GENERATION, "DIFFICULTIES", DIFFICULTIES, "self_ossinstruct.py: uniform"),
    (BOTH, GENERATION, "MAX_SEQS", 256, OWN),
    (BOTH, FILTERING, "CPU_SECONDS", 10.0, "section C.2"),
    (BOTH, FILTERING, "MEMORY_MB", 4096, "section C.2"),
    (BOTH, FILTERING, "PACKAGES", ["numpy", "pandas", "torch"], "section C.2"),
    (STARCODER2, FILTERING, "SELECTION", "starcoder2", "clean_data.py, older"),
    (PAPER, TRAINING, "MODEL", "Qwen/CodeQwen1.5-7B", "section 3"),
    (STARCODER2, TRAINING, "MODEL", "bigcode/starcoder2-15b", "README.md, older"),
    (BOTH, TRAINING, "LEARNING_RATE", 1e-5, "section C.3, data of the model itself"),
    (BOTH, TRAINING, "METHOD", "full", "train.py"),
    (STARCODER2, TRAINING, "EPOCHS", 4, "README.md, older; the paper gives none"),
    (BOTH, TRAINING, "BATCH", 64, "README.md; section C.4"),
    (BOTH, TRAINING, "MICRO_BATCH", 1, "README.md"),
    (BOTH, TRAINING, "HELD_OUT", 0.01, OWN),
    (BOTH, TRAINING, "CHECKPOINT_STEPS", 200, OWN),
    (BOTH, TRAINING, "COMPARE_LOSS", False, OWN),
    (PAPER, TRAINING, "LAUNCH", "ddp", "section C.4: four GPUs"),
    (STARCODER2, TRAINING, "LAUNCH", "", "section C.4: one GPU trains it"),
    (PAPER, EVALUATION, "MODEL", "Qwen/CodeQwen1.5-7B", "section 3"),
    (STARCODER2, EVALUATION, "MODEL", "bigcode/starcoder2-15b", "README.md, older"),
    (BOTH, EVALUATION, "BENCHMARKS", BENCHMARKS, "Tables 1 and 3, those of them that the study has"),
    (BOTH, EVALUATION, "N_PROBLEMS", {"mbpp+": 399}, "Tables 1 and 3: all"),
    (BOTH, EVALUATION, "RAW_PROMPTS", ["official"], "evaluation/text2code_vllm.py: base models"),
    (STARCODER2, EVALUATION, "PROTOCOL", "starcoder2", "evaluation/text2code.py, older"),
    (PAPER, EVALUATION, "MAX_TOKENS", 1024, "evaluation/text2code_vllm.py"),
    (STARCODER2, EVALUATION, "MAX_TOKENS", 512, "evaluation/text2code.py, older"),
    (BOTH, EVALUATION, "MAX_SEQS", 256, OWN),
    (PAPER, BEYOND, "MODEL", "Qwen/CodeQwen1.5-7B", "section 3"),
    (STARCODER2, BEYOND, "MODEL", "bigcode/starcoder2-15b", "README.md, older"),
    (BOTH, BEYOND, "N_PROBLEMS", 0, "sections 3.1 to 3.4: all of them"),
    (BOTH, BEYOND, "DECODING", {}, "sections 3.1 to 3.4; lib/evaluate/beyond.py has the values"),
    (BOTH, BEYOND, "RAW", True, "sections 3.1 to 3.4: base models as such"),
    (BOTH, BEYOND, "LEAST_RIGHT", 10, "section 3.1; evalplus/evalperf.py"),
    (BOTH, BEYOND, "MOST_MEASURED", 20, "section 3.1; evalplus/evalperf.py"),
    (BOTH, BEYOND, "MAX_SEQS", 256, OWN),
]


@pytest.mark.parametrize("profile", BOTH)
def test_a_published_profile_has_these_values_and_no_others(profile: str) -> None:
    rows = {(notebook, name): value for profiles, notebook, name, value, _ in VALUES if profile in profiles}
    given = {(notebook, name) for path in files_of(profile) for _, notebook, values in written(path) for name in values}
    settled = load_profile(profile)
    assert {name for name in given if name != (BASE, BASE)} == rows.keys()
    assert {(notebook, name): settled[notebook][name] for notebook, name in rows} == rows


@pytest.mark.parametrize("profile", BOTH)
def test_no_value_is_listed_twice(profile: str) -> None:
    rows = [(notebook, name) for profiles, notebook, name, *_ in VALUES if profile in profiles]
    assert len(rows) == len(set(rows))

"""The files of the benchmarks beyond functions: their names, where the hub has them, the hashes of what they hold.

The addresses are the publishers' own, at a revision where one is known. The rows of ClassEval, DS-1000 and CanItEdit
are pinned whatever the file's format. The hub's files of LiveCodeBench and EvalPerf were out of reach when this was
written: any rows are accepted, their hash is reported, and their version is called unpinned; pinned are the derived
ones, with which the study was tested (LiveCodeBench with sample tests). EvalPerf's are in its own module.
"""

from lib.evaluate.data import Source

HUB = "https://huggingface.co/datasets"
LCB = f"{HUB}/livecodebench/code_generation_lite/resolve/main"
CONVERTED = "resolve/refs%2Fconvert%2Fparquet/default/test/0000.parquet"  # the hub's own conversion of a data set

GITHUB, REVISION = "https://raw.githubusercontent.com", "eaeac44d0d5dcd8a95feec50726d66fedc73a98f"

CLASSEVAL = Source(
    "ClassEval", ("ClassEval_data",), f"{GITHUB}/FudanSELab/ClassEval/{REVISION}/data/ClassEval_data.json",
    "CLASSEVAL_PATH", ("task_id",),
    ("task_id", "skeleton", "test", "solution_code", "import_statement", "class_description", "class_name",
     "test_classes", "class_constructor", "fields", "methods_info"),
    {"29e7fb67a27de782ab5aed2c54d5a15815f0c3f7a169d36c11025d6b55e67268": "eaeac44"},
)  # fmt: skip
DS1000 = Source(
    "DS-1000", ("ds1000",), f"{HUB}/xlangai/DS-1000/resolve/main/test.jsonl", "DS1000_PATH",
    ("metadata", "problem_id"), ("prompt", "reference_code", "metadata", "code_context"),
    {"91a1aca74130e0e670909565e69e4edc78ef0dfaae9544e1fc5f6759b9358f81": "simplified"},
)  # fmt: skip
CANITEDIT = Source(
    "CanItEdit", ("canitedit",), f"{HUB}/nuprl/CanItEdit/{CONVERTED}", "CANITEDIT_PATH", ("full_name",),
    ("id", "name", "full_name", "before", "after", "tests", "instruction_descriptive", "instruction_lazy", "taxonomy"),
    {"7e1b7c31d5a2ca98c45feefde04a0957bedf9a13e03562771ecc4e0908018ac7": "105 programs"},
)  # fmt: skip
LIVECODEBENCH = Source(
    "LiveCodeBench", ("livecodebench_release_v1", "lcb_release_v1_400_derived"), f"{LCB}/test.jsonl",
    "LIVECODEBENCH_PATH", ("question_id",), (),
    {"c241f4b29e2f763aee068cfcebfcb19562eae0d45dfeb4760e37a7797395b861": "release_v1, derived tests"}, open=True,
)  # fmt: skip
LIVECODEBENCH_V5 = Source(
    "LiveCodeBench", ("livecodebench_release_v5", "lcb_v5_880_derived"), f"{LCB}/test.jsonl",
    "LIVECODEBENCH_V5_PATH", ("question_id",), (),
    {"b71bdb4f9d1fc9b737211da6e7f3481c62f22495c775925494b8a8ef700aca66": "release_v5, derived tests"}, open=True,
    more=tuple(f"{LCB}/test{number}.jsonl" for number in range(2, 6)),
)  # fmt: skip

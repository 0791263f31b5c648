"""The recipe, the template and the cards import in an environment that can only replay."""

import subprocess
import sys

from lib.core.paths import ROOT

ABSENT = ("torch", "transformers", "peft", "accelerate", "vllm", "ray", "datasets")
LIGHT = ("train.recipe", "train.template", "publish.model_card", "publish.dataset", "publish.data_card")
SCRIPT = """
import importlib, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
for name in sys.argv[2:]:
    importlib.import_module(f"lib.{name}")
"""


def test_a_replay_needs_no_heavy_package() -> None:
    command = [sys.executable, "-c", SCRIPT, " ".join(ABSENT), *LIGHT, "publish.croissant"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

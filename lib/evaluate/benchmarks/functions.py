"""What HumanEval, MBPP and EvoEval share: a task asks for one function, and has a prompt that base models continue.

A problem has task_id, prompt, entry_point and canonical_solution.
"""

import json
from collections.abc import Mapping
from typing import Any

from lib.core.programs import with_futures_first
from lib.core.records import Record
from lib.evaluate.benchmark import RESPONSE_PREFIX, STARCODER2_STOP, STOP, Benchmark, Outcome
from lib.generate.protocol import stopped
from lib.train.template import render_prompt

INPUT_CHARACTERS = 2000  # of a failing input that a sample holds


class Functions(Benchmark):
    """Tasks that ask for a function, by the paper's protocol or by StarCoder2-Instruct's ("starcoder2").

    A base model continues the "official" text, in which HumanEval's prompt has no line breaks around it and MBPP's no
    quotes, or the "unstripped" one of the file. `between` is the text between a prompt and its canonical solution.
    """

    protocols, raw_prompts = ("paper", "starcoder2"), ("official", "unstripped")
    between = ""

    def choose_protocol(self, protocol: str) -> None:
        """Also set where an answer ends."""
        super().choose_protocol(protocol)
        self.stop = STARCODER2_STOP if protocol == "starcoder2" else STOP

    def instruction(self, task: str) -> str:
        """Return the instruction that the template is filled with."""
        raise NotImplementedError

    def opening(self, task: str) -> str:
        """Return how the answer in the template begins, for the model to continue: with an open fence."""
        return RESPONSE_PREFIX

    def official_prompt(self, task: str) -> str:
        """Return what the paper's script lets a base model continue."""
        raise NotImplementedError

    def prompt(self, task: str) -> str:
        return render_prompt(self.instruction(task)) + self.opening(task)

    def raw_prompt(self, task: str, form: str) -> str:
        return self.official_prompt(task) if form == "official" else self.problems[task]["prompt"]

    def raw_solution(self, task: str, completion: str) -> str:
        """What continues a raw prompt is put under the file's prompt, whichever was asked with, as EvalPlus does."""
        kept = stopped(completion, self.raw_stop)
        return self.problems[task]["prompt"] + (completion if kept is None else kept)

    def completed(self, task: str, completion: str) -> str:
        """As EvalPlus, under the file's prompt; a `from __future__` behind it is moved to the top."""
        return with_futures_first(self.problems[task]["prompt"] + completion)

    def canonical(self, task: str) -> str:
        problem = self.problems[task]
        return problem["prompt"] + self.between + problem["canonical_solution"]

    def inputs(self, task: str, part: str) -> list[Any]:
        """Return the inputs to which an outcome's number refers, as the benchmark's file has them."""
        return []

    def outcome(self, task: str, verdicts: Mapping[str, Record]) -> Outcome:
        """Also with the failing input: None when it is not known, as text where JSON has no such type or it is long."""
        found = super().outcome(task, verdicts)
        given = self.inputs(task, found.part)
        failing = given[found.number] if found.number is not None and found.number < len(given) else None
        try:
            text = json.dumps(failing)
        except TypeError:  # a complex number, a set
            failing = text = repr(failing)
        if len(text) > INPUT_CHARACTERS:
            failing = f"{text[:INPUT_CHARACTERS]} ..."
        return found._replace(values={**found.values, "failing_input": failing})

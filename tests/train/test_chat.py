"""Questions to a model in the terminal."""

import io
import sys

import pytest

from lib.core.records import StudyError
from lib.train import chat
from lib.train.template import answers


def test_every_question_gets_the_answer_that_notebook_04_shows(tiny, monkeypatch, capsys) -> None:
    questions = ["Write a function that adds 1 to a number.", "And one that adds 2."]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{questions[0]}\n\n{questions[1]}"))
    chat.answer(tiny.path, chat.asked(), 12)
    said = capsys.readouterr().out
    expected = [text.replace("<|end|>", "") for text in answers(tiny.path, questions, 12)]
    assert all(text.strip() in said for text in expected) and any(text.strip() for text in expected)


def test_a_run_without_a_model_is_named(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    with pytest.raises(StudyError, match="has no model yet: run `make study`"):
        chat.tuned("laptop")

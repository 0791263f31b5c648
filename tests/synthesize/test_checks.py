"""Checks of concepts and tasks: what is dropped, in which context a word counts, what the paper's way leaves out."""

import pytest

from lib.synthesize import checks


@pytest.mark.parametrize(
    ("text", "concepts", "faults"),
    [
        (" Recursion, memoization ,recursion,  list  slicing.\nmore", ["recursion", "memoization", "list slicing"],
         {"said twice": 1}),
        ("a, b, c, d, e, f", ["a", "b", "c", "d", "e"], {"more than 5": 1}),
        ("dict.get(key), return value, sets", ["sets"], {"code": 2}),
        ("this is a run-on sentence about many things, sets", ["sets"], {"longer than 6 words": 1}),
        ("", [], {"empty": 1}),
        ("sets, half \ud83d a smile, sums", ["sets", "sums"], {"text that UTF-8 cannot hold": 1}),
        (",,", [], {"empty": 3}),
    ],
)  # fmt: skip
def test_concepts_are_cleaned_and_what_goes_is_counted(text, concepts, faults):
    assert checks.parse_concepts(text) == (concepts, faults)


def test_the_papers_way_only_splits_at_commas():
    """self_ossinstruct.py: items are stripped, none is dropped."""
    text = " Recursion, f(x) ,recursion,\nmore and more and more words of it,"
    assert checks.parse_concepts(text, restricted=False) == (
        ["Recursion", "f(x)", "recursion", "more and more and more words of it", ""],
        {},
    )
    assert checks.parse_concepts("half \ud83d", restricted=False) == ([], {"text that UTF-8 cannot hold": 1})


GOOD = "Write a function `f(items)` that returns the even numbers of a list in their order."


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (GOOD, None),
        ("Write a profile of a list as a function that groups its numbers by size.", None),
        ("Write a function.", "shorter"),
        ("", "empty"),
        ("word " * 201, "longer"),
        (GOOD + " Replace \ude00.", "UTF-8"),
        (GOOD + "\n### Task\nanother", "runs on"),
        (GOOD.replace("a list", "a file"), "needs files"),
        (GOOD + " Read the numbers from stdin.", "needs files"),
        (GOOD + " Use Java.", "another programming language"),
        (GOOD.replace("a function", "a function in Java"), "another programming language"),
        (GOOD + " Translate it to C++.", "another programming language"),
        (GOOD + " Use swift moves, a rusty c and the letter R.", None),
        (GOOD + " Merge sets A and B with C as the union.", None),
        ("Écrivez une fonction très générale à réécrire: éèàùâêîôûëïüç éèàùâêîôûëïüç", "not in English"),
    ],
)
def test_tasks_that_cannot_be_used_are_named(text, fault):
    found = checks.instruction_fault(text, 200)
    assert found is None if fault is None else fault in str(found)


@pytest.mark.parametrize(
    "text",
    [  # the kinds of the paper's own examples that a list of words alone would drop
        "Write a function `shown(size)` that formats a file size in bytes with a fitting unit, as in `3.5 MB`.",
        "Compute the SHA-256 digest of a file whose path is given, or of the path itself where it is not a file.",
        "Write a function that takes a list from user input and adds up how often its repeated entries occur.",
        "Write a program that runs the commands of a text file with one shell command per line and logs their errors.",
        "Write a program that fills a NumPy array with random numbers and cuts it into clusters at given positions.",
        # and others
        "Write a function that adds up the file sizes of a backup, given as a dictionary from file names to bytes.",
        "Write a function that returns the extension of a file from its name, or an empty string if there is none.",
    ],
)
def test_a_word_counts_in_its_context(text):
    assert checks.instruction_fault(text, 200) is None


@pytest.mark.parametrize(
    "text",
    [
        "Write a function that reads the numbers from a file and returns their sum.",
        "Write a function that returns the size of a file and the lines in the file.",
        "Write a function that reads the user input and returns the number of words in it.",
        "Write a function that returns a random element of a list, and None for an empty list.",
        "Write a function that takes the file name of a picture and shows the image to the user.",
    ],
)
def test_a_need_counts_in_any_context(text):
    assert checks.instruction_fault(text, 200) == "needs files, network, input, chance or the clock"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Read a file.", None),
        ("Schreib ein Programm in Java, das eine Datei vom Server holt: äöü äöü äöü.", None),
        (GOOD + "\n### Task\nanother", None),
        ("", "empty"),
        (" \n", "empty"),
        (GOOD + " Replace \ude00.", "text that UTF-8 cannot hold"),
        ("word " * 201, "longer than 200 words"),
    ],
)
def test_the_papers_way_drops_only_what_nobody_can_answer_or_select(text, fault):
    assert checks.instruction_fault(text, 200, restricted=False) == fault


def test_without_a_bound_a_task_may_have_any_number_of_words():
    assert checks.instruction_fault("word " * 5000, 0) is checks.instruction_fault("word " * 5000, 0, False) is None

"""OctoPack (Muennighoff et al. 2023): a commit as an example, its subject the instruction, its file before and after.

Takes the commits of a local git repository and keeps what CommitPackFT keeps of CommitPack, by its rules in its order
(bigcode-project/octopack, filters1 and filters2). Departures: the verbs that a subject may begin with
are the study's own list; a file's ending is compared with its dot (the published table of endings never matches);
tokens are those of the model that is tuned. OctoPack's second part, the first questions and answers of Open Assistant's
conversations, comes from a file (`conversations`).
"""

import argparse
import gzip
import json
import re
import subprocess
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from lib.core.cli import command
from lib.core.markdown import fenced
from lib.core.models import resolve
from lib.core.records import Record, StudyError, content_id, write_records
from lib.core.text import encodable
from lib.generate.tokens import count_tokens

ENDING = ".py"
LARGEST = 50_000  # characters of the old file, exclusive
CHARACTERS, WORDS, LEAST_WORDS = (11, 999), (5, 999), 4  # of a subject; the last once it is cleaned
TOKENS = (50, 768)  # of both files together, inclusive
RARE = 10  # one in so many of those that only raise a version is kept
VERBS = """
abort accept access accommodate account adapt add address adjust align allow alter always annotate append apply
arrange assert assign attach avoid backport bind block bring build bypass cache calculate call cancel capture cast
catch change check clarify clean cleanup clear close collapse collect combine compare compile complete compute
concatenate condense configure connect consider consolidate construct convert copy correct cover create cut deal
declare decode decorate decouple decrease deduplicate default define delay delete deprecate derive detect determine
disable disallow discard display do document don't downgrade drop eliminate emit enable encapsulate encode encourage
enforce enhance ensure exclude execute exit expand explain export expose extend extract factor fetch filter find
finish fix flatten flush follow forbid force format generate get give group guard handle hide highlight hook ignore
implement import improve include increase indent infer inherit initialize inject inline insert inspect install
instantiate integrate introduce invert invoke isolate keep let limit link list load localize lock log loosen lower
make mark match memoize merge migrate minimize mock modernize modify move name normalize notify obey omit open
optimize organize output override pad parallelize parameterize parse pass patch perform permit pin polish populate
port prefer prepare preserve prevent print process propagate protect provide prune pull push put quote raise read
rearrange rebuild recognize recompute record redirect reduce refactor refer reformat refresh register reject relax
release reload remove rename render reorder reorganize replace report request require reset resolve respect restore
restrict restructure retain retry return reuse reverse revert revise rework rewrite round run sanitize save select
send separate serialize set share shorten show simplify skip sort specify speed split standardize start stop store
streamline strip support suppress swap switch sync take test throw tidy toggle track translate trim truncate try tune
turn tweak type unify unpack update upgrade use validate verify wait warn wrap write
"""
IMPERATIVE = frozenset(VERBS.split())
# Subjects that say nothing, and what in one shows that a machine wrote it, or that it is about something else.
EMPTY = frozenset(("readme", "update", "test", "tests", "fix", "changes", "cleanup", "initial commit", "update readme"))
MACHINE = ("merge ", "signed-off-by", "auto commit", "auto-commit", "automatic commit", "automated commit")
ELSEWHERE = (
    "cherry-pick",
    "cherry pick",
    "thanks to",
    "code review",
    "leetcode",
    "[ci skip]",
    "[skip ci]",
    "://",
    "www.",
    " i ",
    " i'm ",
    " i've ",
)
NUMBERED = re.compile(r"\b(issue|bug|feature|ticket|pr|gh)s?\s*-?\s*\d+|\bwip\b", re.IGNORECASE)
VERSION, HASH = re.compile(r"\bv?\d+\.\d+(\.\d+)*\b"), re.compile(r"\b[0-9a-f]{7,40}\b")
RAISED = ("bump", "set version", "update version")
TAGS = re.compile(r"^(\s*\[[^\]]*\])+|(\[[^\]]*\]\s*)+$")
PREFIX = re.compile(r"^\s*[\w./()-]+:\s+")
# An answer of a conversation with one of these is left out: it refuses, or speaks of itself.
REFUSALS = (
    "as an ai",
    "language model",
    "i cannot",
    "i can't",
    "i'm sorry",
    "i am sorry",
    "unethical",
    "openai",
    "i'm unable",
)


@dataclass(frozen=True)
class Commit:
    """A commit that changes one file: `sha`, its subject, the file's path, and its text before and after."""

    sha: str
    subject: str
    path: str
    old: str
    new: str


# ---- where commits come from


def commits(repository: Path) -> Iterator[Commit]:
    """Yield the commits of a local repository that change a single text file, the newest first, merges left out.

    StudyError when git is not installed or the folder is no repository.
    """
    raw = ("log", "--no-merges", "--no-renames", "--raw", "--no-abbrev", "--format=%x01%H%x02%s")
    with subprocess.Popen(
        ["git", "-C", str(repository), "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as store:
        for entry in git(repository, *raw).split("\x01")[1:]:
            head, *lines = entry.strip("\n").split("\n")
            changed = [line for line in lines if line.startswith(":")]
            modes, _, path = changed[0].partition("\t") if len(changed) == 1 else ("", "", "")
            fields = modes.split()  # :mode mode blob blob status
            if len(fields) == 5 and fields[4] == "M" and fields[1].startswith("100"):
                old, new = (blob(store, name) for name in fields[2:4])
                sha, _, subject = head.partition("\x02")
                if old is not None and new is not None:
                    yield Commit(sha, subject, path, old, new)


def git(repository: Path, *words: str) -> str:
    """Return what git prints; StudyError when there is no git, or it fails."""
    try:
        done = subprocess.run(["git", "-C", str(repository), "-c", "core.quotePath=false", *words], capture_output=True)
    except FileNotFoundError:
        raise StudyError("git is not installed: install it, its commits are what this recipe learns from") from None
    if done.returncode:
        raise StudyError(
            f"{repository} is no git repository with commits: {done.stderr.decode(errors='replace').strip()}"
        )
    return done.stdout.decode(errors="replace")


def blob(store: subprocess.Popen[bytes], name: str) -> str | None:
    """Return the text of a blob; None when it is no UTF-8, or not there."""
    assert store.stdin and store.stdout
    store.stdin.write(f"{name}\n".encode())
    store.stdin.flush()
    facts = store.stdout.readline().split()  # name, kind, size; or name, "missing" in a partial clone
    if len(facts) < 3:
        return None
    data = store.stdout.read(int(facts[2]) + 1)[:-1]
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


# ---- which of them are kept


def cleaned(subject: str) -> str:
    """Return a subject without tags in brackets and without "word:" before it, its first letter upper-case."""
    kept = PREFIX.sub("", TAGS.sub("", subject.strip())).strip()
    return kept[:1].upper() + kept[1:]


def within(value: int, bounds: tuple[int, int]) -> bool:
    """Tell whether a number lies between two, both included."""
    return bounds[0] <= value <= bounds[1]


Rule = tuple[str, Callable[[Commit], bool]]  # why it drops a commit, and whether it does
# In the published order; subjects are cleaned between the two.
RAW_RULES: tuple[Rule, ...] = (
    ("old file too long", lambda c: len(c.old) >= LARGEST),
    ("new file empty or unchanged", lambda c: not c.new.strip() or c.new == c.old),
    ("a # in the subject", lambda c: "#" in c.subject),
    ("another language", lambda c: Path(c.path).suffix != ENDING),
    ("the file's name in the subject", lambda c: Path(c.path).stem.lower() in c.subject.lower()),
    ("subject too short or too long", lambda c: not within(len(c.subject), CHARACTERS)),
    ("subject of too few or too many words", lambda c: not within(len(c.subject.split()), WORDS)),
)
CLEANED_RULES: tuple[Rule, ...] = (
    ("subject is not an instruction", lambda c: verb(c) not in IMPERATIVE),
    ("subject says nothing", lambda c: c.subject.lower().rstrip(".") in EMPTY),
    ("subject written by a machine", lambda c: any(part in c.subject.lower() for part in MACHINE)),
    ("subject has a version or a hash", lambda c: bool(VERSION.search(c.subject) or HASH.search(c.subject))),
    ("subject is about something else", lambda c: any(part in f" {c.subject.lower()} " for part in ELSEWHERE)),
    ("subject names an issue, or unfinished work", lambda c: bool(NUMBERED.search(c.subject))),
    ("raises a version", lambda c: c.subject.lower().startswith(RAISED) and int(c.sha[:8], 16) % RARE > 0),
    ("too few words once cleaned", lambda c: len(c.subject.split()) < LEAST_WORDS),
    ("text that UTF-8 cannot hold", lambda c: not encodable(c.old + c.new + c.subject)),
)


def verb(commit: Commit) -> str:
    """Return the first word of a subject, in lower case; "" when there is none."""
    return next(iter(re.findall(r"[a-z']+", commit.subject.lower())), "")


def dropped(commit: Commit, clean: Commit, tokens: Callable[[str], int]) -> str:
    """Return why a commit, with its subject as it is and cleaned, is dropped; "" when it is kept."""
    if reason := next((said for said, drops in RAW_RULES if drops(commit)), ""):
        return reason
    if not within(tokens(commit.old) + tokens(commit.new), TOKENS):
        return "files too short or too long"
    return next((said for said, drops in CLEANED_RULES if drops(clean)), "")


def examples(found: Iterable[Commit], tokens: Callable[[str], int]) -> tuple[list[Record], Counter[str]]:
    """Return (examples, how many commits were dropped for which reason); of equal ones the first stays.

    An example has id, instruction (the subject over the old file), response (the new file), and its source.
    """
    kept: dict[str, Record] = {}
    reasons = Counter[str]()
    for commit in found:
        clean = replace(commit, subject=cleaned(commit.subject))
        made = example(clean)
        reason = dropped(commit, clean, tokens) or ("repeats another" if made["id"] in kept else "")
        reasons[reason] += 1
        if not reason:
            kept[made["id"]] = made
    reasons.pop("", None)
    return list(kept.values()), reasons


def example(commit: Commit) -> Record:
    """Return the example of a commit whose subject is cleaned."""
    instruction = f"{commit.subject}\n\n{fenced(commit.old.rstrip(chr(10)))}"
    response = fenced(commit.new.rstrip("\n"))
    source = {"commit": commit.sha, "file": commit.path}
    return {"id": content_id(instruction, response), "instruction": instruction, "response": response, "source": source}


# ---- the other part: conversations


def conversations(path: Path, language: str = "en") -> tuple[list[Record], Counter[str]]:
    """Return (examples, reasons) of a file of Open Assistant's trees, a line of JSON each: first question, best answer.

    StudyError for a file that cannot be read or a line that is no tree.
    """
    kept: list[Record] = []
    reasons = Counter[str]()
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
            for number, line in enumerate(lines, 1):
                try:
                    asked = json.loads(line)["prompt"]
                    replies = sorted(asked["replies"], key=lambda reply: reply.get("rank") or 0)
                    texts = [asked["text"], *(reply["text"] for reply in replies[:1])]
                except (ValueError, KeyError, TypeError):
                    raise StudyError(
                        f"{path}:{number} is no conversation: an object with prompt, text, replies"
                    ) from None
                if reason := unwanted(texts, asked.get("lang", language) == language):
                    reasons[reason] += 1
                else:
                    facts = {"instruction": texts[0], "response": texts[1], "source": {"conversation": number}}
                    kept.append({"id": content_id(*texts), **facts})
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise StudyError(
            f"cannot read {path}: {error}; give a file of Open Assistant's trees (.jsonl or .jsonl.gz)"
        ) from None
    return kept, reasons


def unwanted(texts: Sequence[str], spoken: bool) -> str:
    """Return why the texts of a conversation are left out, "" when they are kept."""
    if not spoken:
        return "another language"
    if len(texts) < 2:
        return "no answer"
    return "refuses, or speaks of itself" if any(part in texts[1].lower() for part in REFUSALS) else ""


def main() -> None:
    """Write the examples of repositories and conversations to a file, and print what was dropped and why."""
    parser = argparse.ArgumentParser(prog="python -m lib.synthesize.octopack", description=__doc__)
    parser.add_argument(
        "--repository", type=Path, action="append", default=[], help="a local git repository; repeatable"
    )
    parser.add_argument("--conversations", type=Path, help="Open Assistant's trees, .jsonl or .jsonl.gz")
    parser.add_argument("--model", default="qwen2.5-coder-0.5b-instruct", help="whose tokens are counted")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines: id, instruction, response, source")
    given = parser.parse_args()
    if not given.repository and not given.conversations:
        raise StudyError("give a --repository or --conversations: without either there is nothing to learn from")
    tokens = partial(count_tokens, resolve(given.model).path)
    parts = [(str(place), *examples(commits(place), tokens)) for place in given.repository]
    parts += [(str(given.conversations), *conversations(given.conversations))] if given.conversations else []
    for place, made, reasons in parts:
        print(f"{place}: {len(made)} examples; dropped: {dict(reasons.most_common())}")
    write_records(given.out, {one["id"]: one for _, made, _ in parts for one in made}.values())


if __name__ == "__main__":
    command(main)

"""What a person writes is read in work that grows with its length, whatever it says, and is refused in short.

Each kind of expression is given texts that go wrong in readers of the usual kinds: blanks, an operator or
a bracket again and again, escapes, and what is right up to its last character.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

from medsiglip.api.archive.drafts.generators import read_generators
from medsiglip.api.archive.drafts.report_import import read_reports
from medsiglip.api.archive.keys import expiry
from medsiglip.api.archive.labels import read_labels
from medsiglip.api.settings import Settings, read_config_file
from medsiglip.index.catalogue import filters
from medsiglip.index.catalogue.full_text.whole_words import says_any, words_of
from medsiglip.index.service.newest_first import read_place
from medsiglip.ingest.header.metadata import read_metadata
from medsiglip.medgemma.checks.concerns import concerns
from medsiglip.medgemma.checks.sentences import split
from medsiglip.medgemma.exports.markdown import escaped
from medsiglip.medgemma.prompting.budget import estimate_tokens
from medsiglip.medgemma.records import Check, Draft, Evidence, SentenceDecision
from medsiglip.medgemma.routing.rules import read_rule, read_rules
from medsiglip.medgemma.sentence_decisions import decide
from medsiglip.medgemma.workflow import difference
from medsiglip.zero_shot.free_labels import free_labels
from medsiglip.zero_shot.prompt_file import load_prompt_set
from tests.linear_work import check_growth, refusal

MOST_SAID = 1000
"""Characters of a message, but for the paths of files in it."""

# Each of these, repeated, and with something before and behind.
RUNS = (
    " ",
    "\t \n",
    "=",
    "!",
    "<",
    ">=",
    "|",
    "\\|",
    "\\",
    "a",
    "a ",
    "1",
    ".",
    "a.",
    " or ",
    " or a=1",
    "not ",
    "~",
    "[",
    "{a=",
    "(",
    '"',
    "'",
    "é",
    "\0",
)
FRAMES: dict[str, tuple[str, str]] = {
    "alone": ("", ""),
    "before an operator": ("", "=1"),
    "name of a label": ("label:", "=1"),
    "label without value": ("label:a", ""),
    "value of a label": ("label:a>=", "!"),
    "name of a quality": ("quality.", "<1"),
    "value of a quality": ("quality.a=", ""),
    "text": ("study_description=", ""),
    "code": ("modality!=", "|CT"),
    "number": ("patient_age=1|", ""),
    "one number": ("patient_age>=", ""),
    "date": ("study_date=2020-", ""),
    "words of a report": ("report=", ""),
    "uid": ("study_instance_uid=1.2.", "|"),
}


def check_message(call: Callable[[], object]) -> None:
    """What is refused is refused in one short sentence."""
    error = refusal(call)
    assert error is None or (len(str(error)) < MOST_SAID and "\n" not in str(error)), str(error)


@pytest.mark.long(every=3)  # has no divisor in common with their numbers: each run and each frame comes
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("frame", FRAMES)
def test_filters(frame: str, run: str) -> None:
    before, behind = FRAMES[frame]
    check_growth(lambda size: f"{before}{run * size}{behind}", filters.parse)
    check_message(lambda: filters.parse(f"{before}{run * 5000}{behind}"))
    check_message(lambda: filters.parse(f"{before}{run * filters.MAX_CHARACTERS}{behind}"))


@pytest.mark.parametrize("operator", ["=", "!="])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("study_description", "x {}"),
        ("modality", "C{}"),
        ("patient_age", "{}.5"),
        ("image_id", "{}"),
        ("study_date", "{:04}-02"),
        ("label:nodule", "{}"),
        ("quality.grade", "{}"),
        ("report", "word{} pleural"),
    ],
)
def test_filters_with_alternatives(name: str, value: str, operator: str) -> None:
    def make(size: int) -> str:
        return f"{name}{operator}{'|'.join(value.format(number + 1) for number in range(size))}"

    check_growth(make, filters.parse)


def test_many_filters() -> None:
    check_growth(lambda size: ["modality=CT"] * size, filters.parse_all, (10, 20, 40, 80, 10_000))
    check_message(lambda: filters.parse_all(["modality=CT"] * 10_000))


def test_suggestions_of_names() -> None:
    """They are made for what is not there, among as many names as there are labels."""
    known = [f"{'finding ' * (i % 9)}{i}" for i in range(2000)]
    check_growth(lambda size: "find" + "n" * size, lambda name: filters.suggestion(name, known))
    check_growth(
        lambda size: [*known[:size], "x" * 5000],
        lambda names: filters.suggestion("findnig", names),
        (250, 2000),
    )
    assert len(filters.suggestion("findnig", ["x" * 5000, *known])) < 5000
    assert "did you mean finding 1?" in filters.suggestion("findin 1", known[:9])


TOML = {
    "nothing": "",
    "blanks": " \n",
    "brackets": "[",
    "brackets by lines": "x = [\n",
    "braces": "x = {",
    "tables": "[a{}]\nb = 1\n",
    "tables within": "[a.b{}.c]\n",
    "lists of tables": "[[a]]\nb = 1\n",
    "dots": "a.",
    "quoted dots": '"a".',
    "keys": "k{} = 'v'\n",
    "keys again": "k = 1\n",
    "digits": "1",
    "hexadecimal digits": "f",
    "quotes": '"',
    "apostrophes": "'",
    "escapes": '\\"',
    "hash signs": "#[",
    "equals signs": "=",
    "list": '"a{}", ',
}
TOML_FRAMES = (
    "{}",
    "x = [{}",
    "x = {{ {}",
    'x = """{}',
    "x = '''{}",
    'x = "{}"',
    "x = 0x{}",
    "{}a = 1\n[b]",
    "x = [{}]",
)


def toml(run: str, frame: str, size: int) -> str:
    return frame.format("".join(run.format(number) if "{}" in run else run for number in range(size)))


@pytest.mark.long(every=5)  # as above
@pytest.mark.parametrize("frame", TOML_FRAMES)
@pytest.mark.parametrize("run", TOML)
def test_files_of_routes(run: str, frame: str) -> None:
    check_growth(
        lambda size: toml(TOML[run], frame, size).encode(),
        lambda content: read_rules(content, "routes.toml"),
    )
    check_message(lambda: read_rules(toml(TOML[run], frame, 20_000).encode(), "routes.toml"))


@pytest.mark.parametrize(
    "run", ["brackets", "dots", "digits", "keys", "list", "quotes", "hexadecimal digits"]
)
@pytest.mark.parametrize("kind", ["prompts", "generators", "settings"])
def test_other_files_of_toml(tmp_path: Path, kind: str, run: str) -> None:
    """They are read by the same reader; each has its own error, and what it may hold beside."""
    file = tmp_path / "written.toml"
    read: dict[str, Callable[[], object]] = {
        "prompts": lambda: load_prompt_set(file),
        "generators": lambda: read_generators(Settings(home=tmp_path, generators=file)),
        "settings": lambda: read_config_file(file, ["home", "workers"]),
    }
    for frame in ("{}", "{}a = 1\n[b]", "x = [{}]"):
        make = partial(toml, TOML[run], frame)
        check_growth(make, lambda text: (file.write_text(text), read[kind]()))
        file.write_text(toml(TOML[run], frame, 20_000))
        check_message(read[kind])
    file.write_bytes(b"x = '" + b"a" * (2 << 20) + b"'")
    check_message(read[kind])


@pytest.mark.long(every=3)  # as above
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize(
    "field", ["where", "modality", "labels", "quality", "findings", "generator", "template"]
)
def test_rules(field: str, run: str) -> None:
    is_text = field in ("generator", "template")
    check_growth(
        lambda size: run * size if is_text else [run * size], lambda given: read_rule("a", {field: given})
    )
    check_growth(lambda size: [run] * size, lambda given: read_rule("a", {field: given}))
    check_message(lambda: read_rule("a", {field: run * 10_000 if is_text else [run * 10_000]}))
    check_message(lambda: read_rule(run * 10_000, {}))
    check_message(lambda: read_rule("a", {run * 10_000: 1}))


@pytest.mark.parametrize("scores", [{"source": "probe:a", "label": "b", "at_least": 0.5}, {"x": 1}, {}])
def test_scores_of_rules(scores: dict[str, Any]) -> None:
    check_growth(lambda size: [scores] * size, lambda given: read_rule("a", {"scores": given}))


CSV: dict[str, Callable[[int], str]] = {
    "rows": lambda size: "path,label:a\n" + "".join(f"{i}.png,1\n" for i in range(size)),
    "columns": lambda size: f"path,{','.join(f'label:a{i}' for i in range(size))}\nb.png,1\n",
    "short rows below a wide header": lambda size: (
        f"path,{','.join(f'label:a{i}' for i in range(size))}\n"
        + "".join(f"{i}.png,1\n" for i in range(size))
    ),
    "full row": lambda size: f"path,{','.join(f'label:a{i}' for i in range(size))}\nb.png{',1' * size}\n",
    "blank lines": lambda size: "path,label\n" + "\n" * size + "a.png,x\n",
    "quotes": lambda size: 'path,label\na.png,"' + '""' * size + '"\n',
    "an open quote": lambda size: 'path,label\na.png,"' + "x\n" * size,
    "commas": lambda size: "path,label\n" + "," * size,
    "values": lambda size: "path,label\n" + "".join(f"{i}.png,x{i}\n" for i in range(size)),
}


@pytest.mark.parametrize("table", CSV)
@pytest.mark.parametrize("read", [read_labels, read_metadata, read_reports])
def test_tables(tmp_path: Path, read: Callable[[Path], object], table: str) -> None:
    file = tmp_path / "table.csv"

    def make(size: int) -> int:
        text = CSV[table](size)
        return file.write_text(
            text if read is not read_reports else text.replace("path", "study_instance_uid,report")
        )

    check_growth(make, lambda _: read(file))


@pytest.mark.parametrize("run", RUNS)
def test_texts(run: str) -> None:
    works: tuple[Callable[[str], object], ...] = (
        words_of,
        lambda text: says_any([text]),
        lambda text: free_labels([text]),
        lambda text: split(text, frozenset(["findings"])),
        lambda text: split(f"{text}a. b", frozenset(["findings"])),
        estimate_tokens,
        escaped,
        lambda text: difference(text, text[::-1]),
    )
    for work in works:
        check_growth(lambda size: run * size, work)


@pytest.mark.parametrize("run", ["no ", "no a ", "there is ", "lungs ", "film with ", "is seen ", "not "])
def test_denials_of_labels(run: str) -> None:
    check_growth(lambda size: run * (size // len(run)), lambda text: free_labels([text, "other"]))


def test_lists_of_labels() -> None:
    check_growth(lambda size: [f"finding {i}" for i in range(size)], free_labels)


@pytest.mark.parametrize("run", ["No effusion. ", "Pneumothorax.\n", "- Nodule.\n\n", "Findings: a. "])
@pytest.mark.parametrize("choice", ["keep", "edit", "cut"])
def test_decisions_about_many_sentences(run: str, choice: Literal["keep", "edit", "cut"]) -> None:
    """Finding the sentences is tried above; here it is what is decided about each."""

    def make(size: int) -> tuple[Draft, list[SentenceDecision]]:
        text = run * size + "The end."
        checks = tuple(
            Check(run.strip(), n * len(run), (n + 1) * len(run), "nodule", "contradict") for n in range(size)
        )
        evidence = Evidence("1.2", "space", "DX", "CHEST", "chest-xray")
        draft = Draft("d", "1.2", None, "near", "draft", text, evidence, checks)
        return draft, [SentenceDecision(n, choice, "No nodule.") for n in range(size)]

    def decided(given: tuple[Draft, list[SentenceDecision]]) -> None:
        made = decide(*given)
        made.settled(concerns(given[0]))

    check_growth(make, decided, (50, 100, 200, 400))


@pytest.mark.parametrize("run", ["1", "-", "_", "A", "MTIz", " ", "="])
def test_places_in_lists(run: str) -> None:
    check_growth(lambda size: run * size, read_place)


def test_differences_of_many_lines() -> None:
    def make(size: int) -> tuple[str, str]:
        lines = [f"{i * 7919 % 101}" for i in range(size)]
        return "\n".join(lines), "\n".join(sorted(lines))

    check_growth(make, lambda pair: difference(*pair), (2000, 4000, 8000, 16_000))
    before, after = make(1500)
    lines = difference(before, after).splitlines()[3:]
    assert "\n".join(one[1:] for one in lines if one[0] == "-") == before
    assert "\n".join(one[1:] for one in lines if one[0] == "+") == after
    assert difference(before, before) == ""


@pytest.mark.parametrize("run", ["1", "9", "d", "-", "2030-", " ", "T", ":"])
def test_ends_of_keys(run: str) -> None:
    now = datetime.now(UTC)
    check_growth(lambda size: run * size, lambda text: expiry(text, now))
    check_message(lambda: expiry(run * 10_000, now))

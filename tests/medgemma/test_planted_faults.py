"""Faults that are planted in true reports: how many are flagged, and how many true sentences beside them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.medgemma.checks.copied import WITHHELD
from medsiglip.medgemma.checks.review import Review, review
from medsiglip.medgemma.draft_record import draft_of
from medsiglip.medgemma.drafts import Drafter, DraftRequest
from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.findings import FindingScores
from medsiglip.medgemma.generators.generators import Cancelled, Readiness, never
from medsiglip.medgemma.generators.replies import RawReply, Reply, read_reply
from medsiglip.medgemma.prompting.budget import Budget
from medsiglip.medgemma.prompting.prompts import Prompt
from medsiglip.medgemma.records import Check, EvidenceSeries
from medsiglip.medgemma.workflow import accept
from tests.medgemma.planted_faults import (
    FOREIGN,
    SIDED,
    Case,
    case,
    of_neighbour,
    other,
    said,
    turned,
    with_prior,
)
from tests.medgemma.planted_reports import OTHER, STUDY, planted_index
from tests.medgemma.test_drafts import Pictures, classifier

LEAST, MOST = 0.95, 0.05
BAD_FLAGS = {"wrong-side", "wrong-size", "wrong-number", "other-patient", "other-language"}


@pytest.fixture(params=[40, pytest.param(100, marks=pytest.mark.campaign)])
def drafts(request: pytest.FixtureRequest) -> int:
    """How many drafts there are of each kind of fault."""
    count: int = request.param
    return count


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CaseIndex]:
    with planted_index(tmp_path_factory.mktemp("faults")) as opened:
        yield opened


@dataclass
class Tally:
    """Of each: how many were flagged, and how many there were."""

    faults: list[bool] = field(default_factory=list)
    truths: list[bool] = field(default_factory=list)

    def reached(self, name: str, capsys: pytest.CaptureFixture[str], drafts: int) -> None:
        flagged, wrongly = sum(self.faults), sum(self.truths)
        with capsys.disabled():
            counts = f"{flagged} of {len(self.faults)} faults, {wrongly} of {len(self.truths)} true sentences"
            print(f"\n{name}: {counts} flagged", end="")
        assert len(self.faults) == drafts
        assert flagged >= LEAST * len(self.faults)
        assert wrongly <= MOST * len(self.truths)
        assert len(self.truths) >= drafts


def is_flagged(check: Check) -> bool:
    return check.verdict in ("contradict", "doubtful") or bool(BAD_FLAGS & set(check.flags))


def truths(found: Review, text: str, faulty: Sequence[str]) -> list[bool]:
    """Whether each true sentence of the text is flagged."""
    lies = [(text.index(one), text.index(one) + len(one)) for one in faulty if one in text]
    return [
        is_flagged(check)
        for check in found.checks
        if check.sentence.strip().rstrip(":") not in ("FINDINGS", "IMPRESSION")
        and not any(start < check.end and check.start < end for start, end in lies)
    ]


def test_true_reports_have_nothing_to_flag(capsys: pytest.CaptureFixture[str], drafts: int) -> None:
    flagged, omitted = [], 0
    for number in range(drafts):
        made = case(random.Random(f"true {number}"))
        found = review(made.text, made.evidence, unaided=made.text)
        flagged += truths(found, made.text, [])
        omitted += len(found.omissions)
    with capsys.disabled():
        print(f"\ntrue: {sum(flagged)} of {len(flagged)} flagged, {omitted} omissions in {drafts}", end="")
    assert sum(flagged) <= MOST * len(flagged)
    assert omitted <= MOST * drafts


def test_omissions(capsys: pytest.CaptureFixture[str], drafts: int) -> None:
    tally = Tally()
    for number in range(drafts):
        rng = random.Random(f"omission {number}")
        made = case(rng)
        present = [one.label for one in made.evidence.findings if one.present]
        # A consolidation or nodule may be meant by what else is said of the lungs.
        alone = [one for one in present if one not in ("consolidation", "atelectasis", "edema")] or present
        missing = rng.choice(alone)
        if rng.random() < 0.3:
            made = with_prior(made, "Old rib fracture. There is emphysema.")
            stated = rng.choice(["The ribs show an old fracture.", "Emphysema as before."])
            missing = "emphysema" if "fracture" in stated else "fracture"
            made.findings.append(("prior", stated))
        made.findings = [one for one in made.findings if one[0] != missing]
        made.impression = [one for one in made.impression if one[0] != missing]
        found = review(made.text, made.evidence)
        named = [one.finding for one in found.omissions]
        tally.faults.append(missing in named)
        tally.truths += [*truths(found, made.text, []), *(one != missing for one in named)]
    tally.reached("omissions", capsys, drafts)


def _against_the_findings(made: Case, label: str, rng: random.Random) -> tuple[Case, str, str | None]:
    at = next(number for number, one in enumerate(made.impression) if one[0] == label)
    lie = turned(made.impression[at][1], made.sides[label])
    made.impression[at] = (label, lie)
    return made, lie, None


def _against_the_prior(made: Case, label: str, rng: random.Random) -> tuple[Case, str, str | None]:
    side = made.sides[label]
    prior = said(rng, label, side, 9)
    made = with_prior(made, f"FINDINGS: {prior} The trachea is midline.")
    name = label.replace("-", " ")
    lie = rng.choice([f"The {other(side)} {name} is unchanged.", f"Persistent {other(side)} {name}."])
    return replace(made, findings=[(label, lie)], impression=[]), lie, None


def _against_the_indication(made: Case, label: str, rng: random.Random) -> tuple[Case, str, str | None]:
    side, name = made.sides[label], label.replace("-", " ")
    made.evidence = replace(made.evidence, indication=f"Known {side} {name}, follow-up")
    lie = said(rng, label, other(side), 9)
    return replace(made, findings=[(label, lie)], impression=[]), lie, None


def _against_the_second_reply(made: Case, label: str, rng: random.Random) -> tuple[Case, str, str | None]:
    unaided = made.text
    lie = said(rng, label, other(made.sides[label]), 9)
    return replace(made, findings=[(label, lie)], impression=[]), lie, unaided


def _against_the_header(made: Case, label: str, rng: random.Random) -> tuple[Case, str, str | None]:
    side = made.sides[label]
    part, modality, words = rng.choice(
        [
            ("BREAST", "MG", "There is a mass in the {} breast."),
            ("HAND", "DX", "Fracture of the {} fifth metacarpal."),
            ("KNEE", "DX", "Small {} knee joint effusion."),
            ("EYE", "OP", "Cotton wool spots in the {} eye."),
        ]
    )
    series = (EvidenceSeries("1.2.3.1", 2, 2, modality, None, side[0].upper()),)
    evidence = replace(
        made.evidence,
        modality=modality,
        body_part_examined=part,
        findings=(),
        series=series,
        template="generic",
    )
    lie, truth = words.format(other(side)), words.format(side)
    return Case(evidence, [("", truth), ("", lie)], []), lie, None


WAYS = (
    _against_the_findings,
    _against_the_prior,
    _against_the_indication,
    _against_the_second_reply,
    _against_the_header,
)


def test_wrong_sides(capsys: pytest.CaptureFixture[str], drafts: int) -> None:
    tally = Tally()
    for number in range(drafts):
        rng = random.Random(f"side {number}")
        made = case(rng)
        label = rng.choice([one for one, _ in made.impression if one in SIDED])
        made, lie, unaided = WAYS[number % len(WAYS)](made, label, rng)
        found = review(made.text, made.evidence, unaided=unaided)
        at = made.text.rindex(lie)
        there = [one for one in found.checks if one.start < at + len(lie) and at < one.end]
        tally.faults.append(any("wrong-side" in check.flags for check in there))
        tally.truths += truths(found, made.text, [lie])
    tally.reached("wrong sides", capsys, drafts)


# Through a drafter, with a generator whose replies are read as those of servers


@dataclass
class Replying:
    """Answers with `text`, or `with_context` if it was shown other patients' reports."""

    text: str
    with_context: str | None = None
    finish_reason: str | None = "stop"
    name: str = "replying"
    budget: Budget = field(default_factory=Budget)

    def generate(self, prompt: Prompt, *, cancelled: Cancelled = never) -> Reply:
        text = self.with_context if self.with_context and prompt.context_studies else self.text
        return read_reply(RawReply(text, "replying", self.finish_reason), prompt)

    def ready(self) -> Readiness:
        return Readiness(True, None, "ready")


def drafter(index: CaseIndex, generator: Replying) -> Drafter:
    return Drafter(FindingScores(index, classifier), Pictures(), "replying", generator)


@pytest.mark.long
def test_copied_neighbours(index: CaseIndex, capsys: pytest.CaptureFixture[str], drafts: int) -> None:
    tally = Tally()
    for number in range(drafts):
        rng = random.Random(f"copied {number}")
        text = case(rng).text
        copied = " ".join(of_neighbour(rng) for _ in range(rng.randint(1, 2)))
        index.report_texts.put({OTHER: f"{case(rng).text}\n{copied}"}, "import")
        for fault, shown in ((True, f"{text}\n{copied}"), (False, text)):
            generator = Replying(text, with_context=shown)
            draft = drafter(index, generator).draft(DraftRequest(f"c{number}{fault}", STUDY, "ann"))
            (tally.faults if fault else tally.truths).append(WITHHELD in draft.details)
            assert draft.text == text, "what was copied is not kept, and the rest is"
    index.report_texts.put({OTHER: ""}, "import")
    tally.reached("copied neighbours", capsys, drafts)


@pytest.mark.long
def test_replies_that_are_cut_off(index: CaseIndex, capsys: pytest.CaptureFixture[str], drafts: int) -> None:
    tally = Tally()
    reasons = ("length", "abort", "error", None, "max_tokens")
    for number in range(drafts):
        rng = random.Random(f"cut {number}")
        text = case(rng).text
        cut = text[: rng.randint(len(text) // 3, len(text))]
        for fault, generator in (
            (True, Replying(cut, finish_reason=reasons[number % len(reasons)])),
            (False, Replying(text)),
        ):
            draft = drafter(index, generator).draft(DraftRequest(f"l{number}{fault}", STUDY, "ann"))
            (tally.faults if fault else tally.truths).append(draft.incomplete is not None)
            if fault and draft.incomplete is not None:
                with pytest.raises(DraftError) as caught:
                    accept(index, draft.id, by="ann")
                assert caught.value.code == "draft-incomplete"
                assert draft_of(index.drafts.get(draft.id)).status == "draft"
    tally.reached("cut-off replies", capsys, drafts)


@pytest.mark.long
def test_other_languages(index: CaseIndex, capsys: pytest.CaptureFixture[str], drafts: int) -> None:
    """Whole replies are refused; of a mixed one each foreign sentence is flagged, and none agrees."""
    tally = Tally()
    for number in range(drafts):
        rng = random.Random(f"language {number}")
        made = case(rng)
        language = rng.choice([*FOREIGN])
        foreign = rng.sample(FOREIGN[language], rng.randint(2, 5))
        if number % 2:
            try:
                drafter(index, Replying(" ".join(foreign))).draft(DraftRequest(f"f{number}", STUDY, "ann"))
                tally.faults.append(False)
            except DraftError as error:
                tally.faults.append(error.code == "reply-other-language")
            continue
        lie = foreign[0]
        made.findings.insert(rng.randint(0, len(made.findings)), ("", lie))
        found = review(made.text, made.evidence)
        at = made.text.index(lie)
        there = [one for one in found.checks if at <= one.start < at + len(lie)]
        assert all(one.verdict != "agree" for one in there), lie
        tally.faults.append(bool(there) and all("other-language" in one.flags for one in there))
        tally.truths += truths(found, made.text, [lie])
    tally.reached("other languages", capsys, drafts)

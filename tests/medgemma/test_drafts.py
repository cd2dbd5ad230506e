"""Drafts by a generator: its words are kept as they came, checked against the scores, and compared with what
it writes without retrieved reports.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.records import (
    ImageRecord,
    InstanceRecord,
    SeriesBundle,
    SeriesRecord,
    Space,
    StudyRecord,
)
from medsiglip.medgemma.drafts import Drafter, DraftRequest
from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.findings import FindingScores, UncertainBand
from medsiglip.medgemma.generators.generators import Cancelled, Readiness, never
from medsiglip.medgemma.generators.replies import Reply
from medsiglip.medgemma.prompting.budget import Budget
from medsiglip.medgemma.prompting.prompts import Prompt
from medsiglip.zero_shot.classifier import ZeroShotClassifier
from medsiglip.zero_shot.prompt_set import PromptSet

SPACE = Space("ab" * 32, "medsiglip-eval", 16, "tiny")
LABELS = ("pleural-effusion", "pneumothorax", "cardiomegaly", "consolidation", "nodule")
WORDS = {label: label.replace("-", " ") for label in LABELS}
STUDIES = 200


def text_vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """Each text by its own random direction."""
    found = [np.random.default_rng(list(text.encode())).normal(size=16) for text in texts]
    return np.array([one / np.linalg.norm(one) for one in found], np.float32)


def classifier(prompt_set: PromptSet) -> ZeroShotClassifier:
    return ZeroShotClassifier(prompt_set, text_vectors, 6.0, 0.0)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CaseIndex]:
    """Chest radiographs whose vectors point anywhere, so that scores are spread from 0 to 1."""
    with CaseIndex.open(tmp_path_factory.mktemp("drafts") / "home") as opened:
        opened.activate(SPACE)
        bundles = [_bundle(number) for number in range(STUDIES)]
        vectors = np.random.default_rng(5).normal(size=(STUDIES, 16)).astype(np.float32)
        opened.add(bundles, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        opened.report_texts.put({f"2.25.{n}": f"Report number {n}." for n in range(STUDIES)}, "import")
        yield opened


def _bundle(number: int) -> SeriesBundle:
    uid = f"2.25.{number}"
    return SeriesBundle(
        # The first two are one patient's: the second has a prior.
        StudyRecord(uid, f"patient-{max(number, 1)}", study_date=f"2020-01-{number % 28 + 1:02}"),
        SeriesRecord(f"{uid}.1", modality="DX", body_part_examined="CHEST"),
        (InstanceRecord(f"{uid}.1.1", f"pixels-{number}"),),
        (ImageRecord(f"{uid}.1.1", f"pixels-{number}", 1),),
    )


class Pictures:
    def pictures(self, image_ids: Sequence[int]) -> list[NDArray[np.uint8]]:
        return [np.full((8, 8, 3), image_id % 256, np.uint8) for image_id in image_ids]


@dataclass
class Scripted:
    """Replies `text`, or `with_context` if the prompt holds retrieved reports."""

    text: str
    with_context: str | None = None
    name: str = "scripted"
    budget: Budget = field(default_factory=Budget)
    prompts: list[Prompt] = field(default_factory=list)

    def generate(self, prompt: Prompt, *, cancelled: Cancelled = never) -> Reply:
        self.prompts.append(prompt)
        text = self.with_context if self.with_context and prompt.context_studies else self.text
        return Reply(text, "a thought", "stop", 1, 1, "scripted-1")

    def ready(self) -> Readiness:
        return Readiness(True, None, "ready")


def drafter(index: CaseIndex, generator: Scripted | None = None) -> Drafter:
    return Drafter(FindingScores(index, classifier), Pictures(), "scripted", generator)


def test_the_words_are_kept_and_context_that_turns_them_is_flagged(index: CaseIndex) -> None:
    generator = Scripted("No pneumothorax.  ", "There is a pneumothorax.")
    draft = drafter(index, generator).draft(DraftRequest("flip", "2.25.3", "ann"))
    assert (draft.text, draft.text_without_context) == ("There is a pneumothorax.", "No pneumothorax.  ")
    assert draft.flips == ("pneumothorax",)
    assert draft.checks[0].flags == ("flipped-by-context",)
    assert (draft.thinking, draft.details["model"]) == ("a thought", "scripted-1")
    first, second = generator.prompts
    assert [one.study_instance_uid for one in draft.evidence.similar] == list(first.context_studies)
    assert second.context_studies == ()
    assert draft == drafter(index).draft(DraftRequest("flip", "2.25.9", "bob")), "an id names one draft"


def test_the_evidence_has_the_prior_and_leaves_the_patient_out_of_the_similar(index: CaseIndex) -> None:
    draft = drafter(index).draft(DraftRequest("prior", "2.25.1", "ann"))
    prior = draft.evidence.prior
    assert prior is not None
    assert (prior.study_instance_uid, prior.study_date) == ("2.25.0", "2020-01-01")
    assert prior.text == "Report number 0."
    assert len(prior.images) == 1
    similar = [one.study_instance_uid for one in draft.evidence.similar]
    assert len(similar) == 5
    assert not {"2.25.0", "2.25.1"} & set(similar)
    first = drafter(index).draft(DraftRequest("no-prior", "2.25.0", "ann"))
    assert first.evidence.prior is None


def test_no_picture_that_may_name_the_patient_is_shown(index: CaseIndex) -> None:
    hiding = drafter(index, Scripted("Normal."))
    hiding.may_show = lambda _image_id: False
    with pytest.raises(DraftError) as caught:
        hiding.draft(DraftRequest("hidden", "2.25.4", "ann"))
    assert caught.value.code == "pictures-withheld"


def test_a_cancelled_draft_is_not_stored(index: CaseIndex) -> None:
    stopped = drafter(index, Scripted("Normal."))
    stopped.cancelled = lambda: True
    with pytest.raises(DraftError) as caught:
        stopped.draft(DraftRequest("stopped", "2.25.4", "ann"))
    assert caught.value.code == "cancelled"
    assert "stopped" not in {one.id for one in index.drafts.listed(limit=1000)}


@pytest.mark.long
def test_a_generator_that_lies_in_half_of_its_sentences_is_caught_where_scores_are_certain(
    index: CaseIndex, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(7)
    scores = FindingScores(index, classifier)
    flagged = {(certain, lie): [0, 0] for certain in (True, False) for lie in (True, False)}
    for number in range(20, STUDIES):
        findings = {one.label: one for one in scores.of_study(f"2.25.{number}").findings}
        lies, sentences = {}, []
        for label in LABELS:
            truth = findings[label].probability >= 0.5
            lies[label] = bool(rng.random() < 0.5)
            says = truth != lies[label]
            sentences.append(f"There is {WORDS[label]}." if says else f"There is no {WORDS[label]}.")
        request = DraftRequest(f"lies-{number}", f"2.25.{number}", "ann")
        draft = drafter(index, Scripted(" ".join(sentences))).draft(request)
        for check in draft.checks:
            assert check.finding is not None
            cell = flagged[findings[check.finding].present is not None, lies[check.finding]]
            cell[0] += check.verdict == "contradict"
            cell[1] += 1
    with capsys.disabled():
        for (certain, lie), (hits, count) in flagged.items():
            place = "outside" if certain else "inside"
            said = "lies" if lie else "truths"
            print(f"\n{place} the uncertain band, {said}: {hits} of {count} flagged", end="")
    assert all(count > 50 for _, count in flagged.values())
    assert flagged[True, True][0] == flagged[True, True][1]
    assert [flagged[key][0] for key in flagged if key != (True, True)] == [0, 0, 0]


@pytest.mark.parametrize(("low", "high"), [(0.8, 0.2), (-0.1, 0.5), (0.5, 1.1)])
def test_a_band_that_is_none_is_refused(low: float, high: float) -> None:
    with pytest.raises(DraftError, match="uncertain band"):
        UncertainBand(low, high)


def test_a_band_decides_by_its_bounds() -> None:
    band = UncertainBand(0.2, 0.8)
    decided = [band.decide(p) for p in (0.0, 0.19, 0.2, 0.79, 0.8, 1.0)]
    assert decided == [False, False, None, None, True, True]


def test_sources_that_are_not_there_are_named(index: CaseIndex, tmp_path: Path) -> None:
    scores = FindingScores(index, classifier)
    for source in ("prompts:nothing", "probe:nothing", "nothing", f"prompts:{tmp_path}/x.toml"):
        with pytest.raises(DraftError) as caught:
            scores.of_studies(source, ["2.25.1"])
        assert caught.value.code == "unknown-source"
    assert scores.sources() == ("prompts:phantoms",)

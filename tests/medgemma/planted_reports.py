"""An index in which every study of another patient has a report that must not get into a draft."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from starlette.responses import Response

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.records import ImageRecord, InstanceRecord, SeriesBundle, SeriesRecord, StudyRecord
from medsiglip.medgemma.checks.concerns import concerns
from medsiglip.medgemma.draft_record import draft_of
from medsiglip.medgemma.drafts import Drafter
from medsiglip.medgemma.findings import FindingScores
from medsiglip.medgemma.generators.generators import Readiness
from medsiglip.medgemma.generators.openai_server import OpenAIServer, ServerOptions
from medsiglip.medgemma.prompting.budget import Budget
from medsiglip.medgemma.records import Draft
from medsiglip.medgemma.workflow import accept, to_accept
from tests.medgemma.scripted_server import RequestBody, Script, Turn, reply_of
from tests.medgemma.seeing import seen
from tests.medgemma.test_drafts import SPACE, Pictures, classifier

STUDY, OTHER, THIRD, FOURTH, PRIOR = (f"1.2.3.9900{number}" for number in range(5))
PLANTED = """\
FINDINGS: A gossypiboma-shaped shadow lies beside the azygos fissure.
Patient Quirinia Vexelmann, MRN 77-31-9042, telephone +49 30 5550 1477, was told on 17 March 2021.
IMPRESSION: Large pneumothorax on the left, 37 mm wide."""
SECRETS = (
    "Quirinia",
    "Vexelmann",
    "77-31-9042",
    "77319042",
    "5550 1477",
    "17 March 2021",
    "gossypiboma-shaped shadow",
    "azygos",
    "Large pneumothorax on the left",
    "37 mm wide",
)
"""What a reader could know another patient by, or take for a finding of this one."""

SEARCHES = ("Quirinia Vexelmann", "77 31 9042", "5550 1477", "gossypiboma shaped shadow", "37 mm wide")
PRIOR_TEXT = "Coarse lattice of the lung bases, as in nineteen ninety."


@contextmanager
def planted_index(folder: Path) -> Iterator[CaseIndex]:
    """Chest radiographs of four patients; the first has an earlier study with a report of its own."""
    with CaseIndex.open(folder / "home") as index:
        index.activate(SPACE)
        patients = {STUDY: "one", OTHER: "two", THIRD: "three", FOURTH: "four", PRIOR: "one"}
        vectors = np.random.default_rng(3).normal(size=(len(patients), 16)).astype(np.float32)
        index.add(
            [_bundle(uid, patient) for uid, patient in patients.items()],
            vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        )
        index.report_texts.put({OTHER: PLANTED, PRIOR: PRIOR_TEXT}, "import")
        yield index


def _bundle(uid: str, patient: str) -> SeriesBundle:
    return SeriesBundle(
        StudyRecord(uid, patient, study_date="2020-01-01" if uid == PRIOR else "2022-02-02"),
        SeriesRecord(f"{uid}.1", modality="DX", body_part_examined="CHEST"),
        (InstanceRecord(f"{uid}.1.1", f"pixels-{uid}"),),
        (ImageRecord(f"{uid}.1.1", f"pixels-{uid}", 1),),
    )


def evidence_only(index: CaseIndex) -> Drafter:
    return Drafter(FindingScores(index, classifier), Pictures())


def generated(index: CaseIndex, script: Script) -> Drafter:
    # The script counts no pictures.
    server = OpenAIServer(script.url, "scripted", Budget(), ServerOptions(check_prompt_tokens=False))
    ready = Readiness(True, None, "ready")
    return Drafter(FindingScores(index, classifier), Pictures(), "near", server, ready=lambda: ready)


def copying(copied: str, plain: str = "The lungs are clear.", thinking: str | None = None) -> list[Turn]:
    """Turns of a generator that repeats what it was shown of other patients, wherever it was."""

    def answer(body: RequestBody) -> Response:
        described = seen(body)
        if described is not None:
            return reply_of(described)(body)
        retrieved = "similar cases of other patients" in json.dumps(body)
        return reply_of(copied if retrieved else plain, thinking=thinking if retrieved else None)(body)

    return [answer]


def accepted(index: CaseIndex, draft_id: str, by: str = "ann") -> Draft:
    """Accept a draft with all its concerns, as a person who has looked at each does."""
    seen_by_person = [one.id for one in concerns(to_accept(draft_of(index.drafts.get(draft_id))))]
    return accept(index, draft_id, by=by, acknowledge=seen_by_person)

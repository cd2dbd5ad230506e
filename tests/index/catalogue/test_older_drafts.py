"""Drafts that an earlier version wrote lose the words of other studies when their home is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue import migrations
from medsiglip.index.service.drafts import RevisionRecord
from tests.index.conftest import Catalogue
from tests.index.index_cases import make_bundle, unit_vectors

FINDINGS = "FINDINGS:\nPleural effusion is present (prompts:chest-xray, score 0.91, image 7)."
# As `medsiglip.medgemma.generators.evidence_only` composed it before revision 0005.
QUOTED = (
    f"{FINDINGS}\n\nCOMPARISON:\n"
    'Earlier study 2.25.9 of 2019-02-03: "Old films. IMPRESSION: fracture of the left clavicle."\n'
    "Similar case of another patient, study 2.25.3 (similarity 0.93; labels: effusion): "
    '"Ms. Rosalind Quack, telephone 555-0142. IMPRESSION: zebra stripes in both lungs."\n'
    "Similar case of another patient, study 2.25.4 (similarity 0.90; labels: none): no report."
)
WITHOUT_PRIOR = QUOTED.replace(QUOTED[QUOTED.index("Earlier") : QUOTED.index("Similar")], "")
OTHERS = ("Quack", "555-0142", "zebra", "clavicle", "Similar case")


def checks(text: str) -> list[dict[str, Any]]:
    """A check for each line that is a sentence."""
    found, start = [], 0
    for line in text.splitlines(keepends=True):
        sentence = line.rstrip("\n")
        if sentence and not sentence.endswith(":"):
            found.append({"sentence": sentence, "start": start, "end": start + len(sentence)})
        start += len(line)
    return found


def add(index: CaseIndex, draft_id: str, text: str, generator: str = "evidence-only") -> Any:
    payload = {"evidence": {}, "checks": checks(text), "details": {"quality": {}}}
    return index.drafts.add(
        draft_id, "2.25.1", route=None, generator=generator, text=text, payload=payload, by="worker"
    )


@pytest.fixture
def older(index: CaseIndex, home: Path, catalogue: Catalogue) -> Any:
    """The index of a home of revision 0004 with drafts, once it was opened again."""
    from alembic import command

    index.add([make_bundle(1, 1), make_bundle(2, 1)], unit_vectors(2))
    add(index, "draft", QUOTED)
    add(index, "without-prior", WITHOUT_PRIOR)
    add(index, "short", FINDINGS)
    add(index, "generated", "The lungs are clear.", "medgemma")
    index.drafts.advance(
        add(index, "accepted", QUOTED), RevisionRecord("accepted", "dr", text=QUOTED), report=QUOTED
    )
    edited = index.drafts.advance(
        add(index, "edited", QUOTED),
        RevisionRecord("edited", "dr", text=f"Seen.\n{QUOTED}", difference=f"+Seen.\n {QUOTED}"),
    )
    assert edited.revision == 2
    index.close()
    (home / "identity.json").unlink()
    engine = create_engine(catalogue.url_in(home))
    with engine.begin() as connection:
        config = migrations.configuration()
        config.attributes["connection"] = connection
        command.downgrade(config, "0004")
    engine.dispose()
    with catalogue.open(home) as again:
        yield again


def test_nothing_of_other_studies_is_left_in_the_catalogue(
    older: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    for draft_id in ("draft", "without-prior", "accepted", "edited"):
        record = older.drafts.get(draft_id)
        said = [record.text, *(str(step.text) + str(step.difference) for step in record.history)]
        said.append(str(record.payload))
        assert not [word for word in OTHERS for text in said if word in text], draft_id
        assert record.payload["details"]["quotations_removed"] is True
    for words in ("zebra stripes", "fracture of the left clavicle", "Rosalind"):
        assert older.studies([f"report={words}"]) == []
        assert older.drafts.listed(words=words) == []


def test_what_the_draft_says_of_its_own_study_stays(older: CaseIndex) -> None:
    own = f"{FINDINGS}\n\nCOMPARISON:\nEarlier study 2.25.9 of 2019-02-03, with a report on file."
    assert older.drafts.get("draft").text == own
    assert older.drafts.get("accepted").text == own
    assert older.drafts.get("edited").text == f"Seen.\n{own}"
    assert older.drafts.get("without-prior").text == FINDINGS
    record = older.drafts.get("draft")
    assert [one["sentence"] for one in record.payload["checks"]] == [FINDINGS.partition("\n")[2]]
    assert record.status == "draft"
    assert [study.study_instance_uid for study in older.studies(["report=pleural effusion is present"])] == [
        "2.25.1"
    ]


def test_other_drafts_are_as_they_were(older: CaseIndex) -> None:
    for draft_id, text in (("short", FINDINGS), ("generated", "The lungs are clear.")):
        record = older.drafts.get(draft_id)
        assert record.text == text
        assert record.payload == {"evidence": {}, "checks": checks(text), "details": {"quality": {}}}
        assert record.revision == 1

"""The demonstration, from synthetic studies to answers, in a home of its own.

Writes phantoms as DICOM files, ingests them, and answers the three questions about them: what is in this
image, which earlier cases look like it, and can it be taught a label. The data are synthetic, and so are the
figures.
"""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.files import output_folder
from medsiglip.api.archive.opened import OnNote, OnProgress
from medsiglip.api.cli.contact_sheet import Row, Tile, write_contact_sheet
from medsiglip.api.errors import ServiceError
from medsiglip.api.settings import Settings
from medsiglip.index.catalogue.readers.consensus import NOBODY
from medsiglip.phantoms.writing import WrittenStudy, write_phantoms

SEED = 20_260
PROBE = "demo-findings"
TEXT = "right pleural effusion"
WHERE = "modality=CR|DX"
_FOLDER = "demo"
_NOTICE = "Made by `medsiglip demo`. The next demo in the folder above replaces it.\n"
_OWNED_FOLDERS = (_FOLDER, "vectors", "faiss", "previews", "probes", "trash", "maps", "workers")
_OWNED_FILES = (
    *("catalog.db", "catalog.db-wal", "catalog.db-shm"),
    *("identity.json", "secret.key", "checkpoint-hashes.json"),
)
_SHOWN_CASES = (("chest-xray", "pneumothorax"), ("brain-mr", "brain-tumour"), ("skin", "melanoma"))
_NEIGHBOURS = 5
_TILE_PIXELS = 256


@dataclass(frozen=True, slots=True)
class DemoRequest:
    """`settings.home` becomes the home of the demo; `studies` is the number of phantoms."""

    settings: Settings
    studies: int = 240


def run_demo(request: DemoRequest, *, on_note: OnNote, on_progress: OnProgress) -> dict[str, Any]:
    """Run the demonstration and return its results in the JSON shape of `demo`.

    An earlier demo in the same home is replaced. Raises ServiceError `home-in-use` for a home that holds
    anything else.
    """
    started = time.monotonic()
    home = request.settings.home
    _clear_home(home)
    folder = home / _FOLDER
    phantoms = write_phantoms(
        folder, request.studies, SEED, lambda done, total: on_progress("writing studies", done, total)
    )
    with Archive.from_settings(request.settings, on_note=on_note) as archive:
        report = archive.ingest([folder / "dicom"], on_progress=on_progress).to_json()
        archive.import_labels(folder / "labels.csv", reader=NOBODY)
        on_progress("zero-shot", 0, None)
        zero_shot = _zero_shot(archive, phantoms)
        text_search = archive.search(text=TEXT, k=_NEIGHBOURS, where=[WHERE]).to_json()
        cases = [_similar_cases(archive, study, finding) for study, finding in _queries(phantoms)]
        retrieval = archive.evaluate_retrieval(level="study").to_json()
        on_progress("probe", 0, None)
        probe = archive.train_probe(
            PROBE, labels_csv=folder / "labels.csv", level="study", reader=NOBODY
        ).to_json()
        sheet = folder / "contact-sheet.png"
        write_contact_sheet(_rows(archive, text_search, cases), sheet)
    return {
        "studies": request.studies,
        "home": str(home),
        "files": str(folder / "dicom"),
        "contact_sheet": str(sheet),
        "ingest": report,
        "zero_shot": zero_shot,
        "text_search": {**text_search, "where": [WHERE]},
        "case_search": [case["found"] for case in cases],
        "retrieval": retrieval,
        "probe": probe,
        "seconds": round(time.monotonic() - started, 1),
    }


def _clear_home(home: Path) -> None:
    """Remove an earlier demo; refuse a folder that holds anything else."""
    from medsiglip.index.vectors import make_folder

    output_folder(home.parent)
    notice = home / _FOLDER / "README.txt"
    if home.is_dir() and any(home.iterdir()):
        if not notice.is_file() or notice.read_text(encoding="utf-8") != _NOTICE:
            raise ServiceError(
                "home-in-use",
                f"{home} holds something that is no demo: give an empty or new folder with --home.",
            )
        for name in _OWNED_FOLDERS:
            shutil.rmtree(home / name, ignore_errors=True)
        for name in _OWNED_FILES:
            (home / name).unlink(missing_ok=True)
    make_folder(notice.parent)
    notice.write_text(_NOTICE, encoding="utf-8")


def _zero_shot(archive: Archive, phantoms: Sequence[WrittenStudy]) -> dict[str, Any]:
    """AUROC of each finding of each anatomy, over the studies of that anatomy alone."""
    from medsiglip.phantoms.catalogue import ANATOMIES

    findings = {study.anatomy: list(study.labels) for study in phantoms}
    rows: list[dict[str, Any]] = []
    for anatomy, description in ANATOMIES.items():
        if anatomy not in findings:
            continue
        figures = archive.evaluate_zero_shot(
            "phantoms", labels=findings[anatomy], where=[f"study_description={description}"]
        )
        rows += [
            {**row, "label": f"{anatomy} {row['label']}", "anatomy": anatomy, "finding": row["label"]}
            for row in figures["labels"]
        ]
    known = [row["auroc"] for row in rows if row["auroc"] is not None]
    return {"macro_auroc": float(np.mean(known)) if known else None, "labels": rows}


def _queries(phantoms: Sequence[WrittenStudy]) -> list[tuple[WrittenStudy, str]]:
    """The first study with each of the findings to show."""
    return [
        next((study, finding) for study in phantoms if study.anatomy == anatomy and study.labels.get(finding))
        for anatomy, finding in _SHOWN_CASES
        if any(study.anatomy == anatomy and study.labels.get(finding) for study in phantoms)
    ]


def _similar_cases(archive: Archive, study: WrittenStudy, finding: str) -> dict[str, Any]:
    found = archive.search(study=study.study_instance_uid, k=_NEIGHBOURS).to_json()
    images = archive.study(study.study_instance_uid)["images"]
    return {"found": found, "query": images[len(images) // 2], "title": f"{study.anatomy} with {finding}"}


def _rows(archive: Archive, text_search: Mapping[str, Any], cases: Sequence[Mapping[str, Any]]) -> list[Row]:
    words = Tile(f"“{TEXT}”", ("query in words",), is_query=True)
    rows = [Row(f"Text search: “{TEXT}” where {WHERE}", (words, *_hit_tiles(archive, text_search["hits"])))]
    for case in cases:
        query = case["query"]
        tile = Tile(_shown(archive, query), ("query", _labelled(query["labels"])), is_query=True)
        heading = f"Similar cases, other patients only: {case['title']}"
        rows.append(Row(heading, (tile, *_hit_tiles(archive, case["found"]["hits"]))))
    return rows


def _hit_tiles(archive: Archive, hits: Sequence[Mapping[str, Any]]) -> list[Tile]:
    dates = {one.study_instance_uid: one.study_date for one in archive.index.studies()}
    return [
        Tile(
            _shown(archive, hit),
            (
                f"{hit['rank']}.  score {hit['score']:.3f}, {_standing(hit)}",
                _labelled(hit["labels"]),
                f"{hit['modality']}, {dates.get(hit['study_instance_uid']) or 'undated'}",
            ),
        )
        for hit in hits
    ]


def _standing(hit: Mapping[str, Any]) -> str:
    """Where the score stands among the best hits of comparable questions."""
    percentile = hit.get("percentile")
    return "no standing" if percentile is None else f"above {min(100 * percentile, 99.9):.1f} %"


def _labelled(labels: Mapping[str, float]) -> str:
    return ", ".join(name for name, value in labels.items() if value) or "normal"


def _shown(archive: Archive, image: Mapping[str, Any]) -> Any:
    """The picture of a stored image as people read it, or words where it may name or show the patient."""
    from PIL import Image

    from medsiglip.api.archive.pictures.previews import preview
    from medsiglip.ingest.header.burned_in import may_preview

    stored = archive.index.get(image["image_id"])
    if not may_preview(stored.quality):
        return "not shown: the picture may name or show the patient"
    with Image.open(io.BytesIO(preview(archive, stored, _TILE_PIXELS, "display"))) as picture:
        return np.asarray(picture)

"""Pages of cases, facets and searches of an archive of 100,000 cases over HTTP, against the same in process
with 50 ms more: what a person waits for beyond the question itself. The worst of the three is the result.

Rows of a catalogue with small random vectors, no pixels: two images of a series each, with ages, dates,
modalities, parts of the body, qualities and labels. Every question has filters of its own, so that no answer
is held from an earlier one. `BENCHMARK_CASES=2000` in the environment makes a trial of so many cases, whose
result is shown and not stored.
"""

import http.client
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np

from benchmarks.measure import Outcome
from benchmarks.random_checkpoint import write_checkpoint
from benchmarks.served import post_json, serving
from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.browsing.cases import list_cases, list_facets
from medsiglip.index.label_records import LabelRecord
from medsiglip.index.records import ImageRecord, InstanceRecord, SeriesBundle, SeriesRecord, StudyRecord

CASES, IMAGES_EACH, DIMENSION = 100_000, 2, 128
GOAL = 1.0
GUARD = "the same answers"
QUESTIONS, ALLOWED_SECONDS = 6, 0.05
_STEP = 2000
_MODALITIES = ("CT", "MR", "DX", "US", "MG")
_PARTS = ("CHEST", "HEAD", "ABDOMEN", "BREAST", "KNEE", "SPINE")
_SORTS = ("-added_at", "-study_date", "patient_age", "-images", "study_instance_uid")

Ask = Callable[[int], Any]


def measure(folder: Path, rounds: int) -> Outcome:
    cases = int(os.environ.get("BENCHMARK_CASES", CASES))
    title = f"in process + 50 ms ÷ over HTTP, of {cases:,} cases: the worst of pages, facets and searches"
    begun = time.perf_counter()
    checkpoint = write_checkpoint(folder / "checkpoint", width=DIMENSION, layers=1, image_size=224)
    home = folder / "home"
    with Archive(home, model=str(checkpoint.folder)) as archive:
        archive.make()
        archive.index.activate(archive.space)
        fill(archive, cases)
        print(f"     {cases:,} cases after {time.perf_counter() - begun:.0f} s", file=sys.stderr)
        with serving(checkpoint.folder, home) as port:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            times = {name: _times(ask, rounds) for name, ask in _questions(archive, connection).items()}
            connection.close()
    if None in times.values():
        return Outcome(title, GOAL, GUARD, QUESTIONS, failure="other answers", stored=cases == CASES)
    found = {name: one for name, one in times.items() if one is not None}
    for name, (ours, peer) in found.items():
        each, ratio = np.median(ours) / QUESTIONS, _ratio(ours, peer)
        print(f"     {name}: {each:.3f} s each over HTTP, ratio {ratio:.2f}", file=sys.stderr)
    ours, peer = min(found.values(), key=lambda one: _ratio(*one))
    return Outcome(title, GOAL, GUARD, QUESTIONS, ours, peer, stored=cases == CASES)


def _ratio(ours: list[float], peer: list[float]) -> float:
    return float(np.median(peer) / np.median(ours))


def _times(sides: tuple[Ask, Ask], rounds: int) -> tuple[list[float], list[float]] | None:
    """Seconds of each round over HTTP, and in process with what is allowed; None for other answers."""
    served, direct = sides
    ours, peer = [], []
    for number in range(rounds + 1):
        asked = range(number * QUESTIONS, (number + 1) * QUESTIONS)
        begun = time.perf_counter()
        theirs = [served(one) for one in asked]
        between = time.perf_counter()
        own = [direct(one) for one in asked]
        ended = time.perf_counter()
        if theirs != own:
            return None
        if number:  # the first round warms both sides up
            ours.append(between - begun)
            peer.append(ended - between + QUESTIONS * ALLOWED_SECONDS)
    return ours, peer


def _questions(archive: Archive, connection: http.client.HTTPConnection) -> dict[str, tuple[Ask, Ask]]:
    def get(path: str, **query: Any) -> Any:
        # Anew: the server ends a connection that waits while this process answers.
        connection.close()
        connection.request("GET", f"{path}?{urlencode(query, doseq=True)}")
        answer = connection.getresponse()
        content = json.loads(answer.read())
        if answer.status != 200:
            raise RuntimeError(f"the service answers {answer.status}: {content}")
        return content

    def page(number: int) -> Any:
        sort, where = _SORTS[number % len(_SORTS)], where_of(number)
        return list_cases(archive, where, sort=sort, limit=100).to_json()

    def page_served(number: int) -> Any:
        return get("/v1/cases", where=where_of(number), sort=_SORTS[number % len(_SORTS)], limit=100)

    def search(number: int) -> Any:
        found = archive.search(study=uid(number), k=50, level="study", where=where_of(number))
        return [hit["study_instance_uid"] for hit in found.to_json()["hits"]]

    def search_served(number: int) -> Any:
        body = {"study_instance_uid": uid(number), "k": 50, "level": "study", "where": where_of(number)}
        found = post_json(connection, "/v1/search", json.dumps(body).encode())
        return [hit["study_instance_uid"] for hit in found["hits"]]

    return {
        "pages": (page_served, page),
        "facets": (
            lambda number: get("/v1/facets", where=where_of(number)),
            lambda number: list_facets(archive, where_of(number)).to_json(),
        ),
        "searches": (search_served, search),
    }


def where_of(number: int) -> list[str]:
    """Filters that no other question has; some leave nearly all cases, others few."""
    found = [f"patient_age>={18 + number % 60}.{number}"]
    if number % 3 == 1:
        found.append(f"modality={_MODALITIES[number % len(_MODALITIES)]}")
    if number % 3 == 2:
        found.append("label:nodule=1")
    return found


def uid(study: int) -> str:
    """The UID of a case by its number."""
    return f"2.25.{study + 1}"


def fill(archive: Archive, cases: int) -> None:
    """Add the cases, with labels for a third of them."""
    rng = np.random.default_rng(1)
    for low in range(0, cases, _STEP):
        studies = range(low, min(low + _STEP, cases))
        vectors = rng.standard_normal((len(studies) * IMAGES_EACH, DIMENSION), np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        archive.index.add([_bundle(study) for study in studies], vectors)
    archive.index.labels.put(list(_labels(cases)))


def _bundle(study: int) -> SeriesBundle:
    series = f"{uid(study)}.1"
    uids = [f"{series}.{i}" for i in range(IMAGES_EACH)]
    quality = {"burned_in": ("no", "likely")[study % 17 == 0], "lossy": int(study % 5 == 0), "sharpness": 0.5}
    date = f"20{10 + study % 16}-{1 + study % 12:02}-{1 + study % 28:02}"
    return SeriesBundle(
        StudyRecord(uid(study), f"patient{study // 2}", "FM"[study % 2], 18.0 + study % 70, date, "STUDY"),
        SeriesRecord(series, _MODALITIES[study % 5], _PARTS[study % 6]),
        tuple(InstanceRecord(one, f"hash-{one}", rows=512, columns=512) for one in uids),
        tuple(
            ImageRecord(one, f"hash-{one}", 1, slice_index=i, quality=quality) for i, one in enumerate(uids)
        ),
        (),
    )


def _labels(cases: int) -> Iterator[LabelRecord]:
    for study in range(0, cases, 3):
        for name in ("nodule", "effusion"):
            yield LabelRecord(name, float(study % 4 == 0), "study_instance_uid", uid(study))

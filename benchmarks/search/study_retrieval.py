"""Studies compared set to set and by means: `python -m benchmarks.search.study_retrieval`.

Phantom studies of three seeds are drawn, encoded slice by slice by the tiny model, and each is asked for the
studies of other patients that are most like it. Archives are of volumes alone, where the two ways differ, and
of all kinds of picture, most of which are single images. The ways are the cosine of means, the symmetric mean
of best matches, the same once the archive's mean vector was taken off all images, and means and sets with
local scaling: a study comes the later, the more its nearest studies are like it anyway (CSLS: Conneau et al.,
Word translation without parallel data, ICLR 2018, section 2.3). Its order is not that of the cosines that a
search shows, and no search does it.

Relevant is, by the rule `finding`, that of `evaluate retrieval`, a study that shares a finding with the
query, which has one, among those of its anatomy; by `finding or normal` a study of the same anatomy that
shares a finding or is normal as the query is, among all.

A gain is the difference of precision at 5 to that by means. Its 95 % interval is that of the jackknife over
patients, who count as queries and as neighbours. Of a seed as many studies are drawn as give several archives
of the same size, which count as independent. Results go to `benchmarks/results/study-retrieval.csv`.
"""

from __future__ import annotations

import argparse
import csv
import os
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.child_process import process_pool
from medsiglip.phantoms.catalogue import StudyPlan, plan_studies, synthesise_study
from medsiglip.phantoms.checkpoint.tuning_set import VOLUMES, series_inputs

SEEDS = (600_001, 600_002, 600_003)
"""Of no test, of no training and of no other measurement: ways and `NEIGHBOURS` were chosen on others."""
STUDIES = 240
ARCHIVES = {"volumes": 1, "all kinds": 4}
"""Of each seed: volumes take long."""
NEIGHBOURS = {"means, local scaling": 10, "sets, local scaling": 50}
"""Whose likeness is usual: for either way the number that was best on seeds 500,001 to 500,006."""
POPULATIONS = {"volumes": tuple(sorted(VOLUMES)), "all kinds": None}
RULES = ("finding", "finding or normal")
WAYS = ("sets", "sets, mean taken off", *NEIGHBOURS)
RESULTS = Path(__file__).parents[1] / "results" / "study-retrieval.csv"
_SIZE = 128
_FIRST = 5
# More than 5 and the studies of any one patient together.
_KEPT = 40


class Drawn(NamedTuple):
    """A study: its patient, what it shows by anatomy and finding, and its pictures uint8 [n, S, S, 3]."""

    patient: str
    shown: frozenset[str]
    pictures: NDArray[np.uint8]


class Studies(NamedTuple):
    """Encoded studies: vectors float32 [n, d] study after study, and where each begins."""

    patients: tuple[str, ...]
    shown: tuple[frozenset[str], ...]
    vectors: NDArray[np.float32]
    starts: NDArray[np.int64]


def draw(plan: StudyPlan) -> Drawn:
    """Every image of a planned study, as the model sees it."""
    study = synthesise_study(plan)
    series = study.series[0]
    found = {f"{plan.anatomy}/{name}" for name, value in study.labels.items() if value}
    pictures = series_inputs(series, _SIZE, range(len(series.pixels)))
    return Drawn(study.patient_id, frozenset(found or {f"{plan.anatomy}/normal"}), pictures)


def encoded(seed: int, anatomies: tuple[str, ...] | None, count: int, workers: int) -> Studies:
    """The studies of a seed."""
    from medsiglip.checkpoint import open_checkpoint
    from medsiglip.encoder import Encoder

    encoder = Encoder(open_checkpoint("tiny"), device="cpu")
    patients, shown, vectors = [], [], []
    with process_pool(workers, _use_one_thread) as pool:
        for one in pool.map(draw, plan_studies(count, seed, anatomies), chunksize=4):
            patients.append(one.patient)
            shown.append(one.shown)
            vectors.append(encoder.encode_images(one.pictures))
    starts = np.cumsum([0, *map(len, vectors)], dtype=np.int64)
    return Studies(tuple(patients), tuple(shown), np.concatenate(vectors), starts)


def kept(folder: Path | None, seed: int, population: str, count: int) -> Studies:
    """So many studies of a seed, as an earlier run that was stopped left them in `folder`."""
    anatomies, workers = POPULATIONS[population], os.cpu_count() or 1
    if folder is None:
        return encoded(seed, anatomies, count, workers)
    file = folder / f"{population}-{seed}-{count}.pickle"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pickle.dumps(encoded(seed, anatomies, count, workers)))
    found: Studies = pickle.loads(file.read_bytes())
    return found


def _use_one_thread() -> None:
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))


def archives(studies: Studies, size: int) -> Iterator[Studies]:
    """Studies in the order in which they were drawn, cut into archives of `size`."""
    for first in range(0, len(studies.patients), size):
        starts = studies.starts[first : first + size + 1]
        part = slice(first, first + size)
        vectors = studies.vectors[starts[0] : starts[-1]]
        yield Studies(studies.patients[part], studies.shown[part], vectors, starts - starts[0])


def locally_scaled(found: NDArray[np.float64], neighbours: int) -> NDArray[np.float64]:
    """Scores [s, s] less half of what is usual for the study that is found: the mean of its scores with the
    studies that are most like it. What is usual for the query moves all alike.
    """
    others = found.copy()
    np.fill_diagonal(others, -np.inf)
    near = np.partition(others, len(others) - neighbours, axis=1)[:, len(others) - neighbours :]
    scaled: NDArray[np.float64] = found - near.mean(axis=1)[None] / 2
    return scaled


def every_score(studies: Studies, neighbours_of: Mapping[str, int]) -> dict[str, NDArray[np.float64]]:
    """Scores by means and by each other way, with so many neighbours for those with local scaling."""
    found = {way: scores(studies, way) for way in ("means", "sets", "sets, mean taken off")}
    for way, neighbours in neighbours_of.items():
        found[way] = locally_scaled(found[way.partition(",")[0]], neighbours)
    return found


def scores(studies: Studies, way: str) -> NDArray[np.float64]:
    """Scores [s, s] of all studies among each other, by a way without local scaling."""
    from medsiglip.index.search.set_to_set import SetScores, StoredSets
    from medsiglip.index.vectors import mean_directions, unit_length

    vectors = studies.vectors
    if way == "sets, mean taken off":
        vectors = unit_length((vectors - vectors.mean(axis=0, dtype=np.float64)).astype(np.float32))
    means = mean_directions(np.split(vectors, studies.starts[1:-1]))
    if way == "means":
        return (means @ means.T).astype(np.float64)
    ids = np.arange(len(vectors), dtype=np.int64)
    sets = StoredSets(ids, studies.starts, vectors.__getitem__)
    return SetScores(sets, means, len(means))(np.arange(len(means)))


class Gain(NamedTuple):
    """Precision at 5 by means and by another way, and the variance of their difference."""

    means: float
    other: float
    variance: float

    @property
    def interval(self) -> tuple[float, float]:
        """95 % of the difference."""
        half = 1.96 * self.variance**0.5
        return self.other - self.means - half, self.other - self.means + half


def gain(studies: Studies, rule: str, by_means: NDArray[np.float64], by_other: NDArray[np.float64]) -> Gain:
    """How much better one way is than means."""
    _, codes = np.unique(studies.patients, return_inverse=True)
    relevant = np.array([[bool(one & other) for other in studies.shown] for one in studies.shown])
    others = codes[:, None] != codes[None]
    if rule == "finding":
        anatomies = np.array([next(iter(one)).partition("/")[0] for one in studies.shown])
        normal = np.array([any(name.endswith("/normal") for name in one) for one in studies.shown])
        relevant &= ~normal[:, None]
        others &= anatomies[:, None] == anatomies[None]

    held = np.eye(codes.max() + 1)[codes]
    totals = [(one @ held) for one in ((relevant & others).astype(float), others.astype(float))]
    ways = [_ranked(found, relevant, others, codes) for found in (by_means, by_other)]

    def without(patient: int) -> list[float]:
        """Precision of both ways over the queries that something, but not everything, is relevant to."""
        total, count = (one.sum(axis=1) - (one[:, patient] if patient >= 0 else 0) for one in totals)
        queries = (total > 0) & (total < count) & (codes != patient)
        return [float(_precision(*way, patient)[queries].mean()) for way in ways]

    means, other = without(-1)
    patients = codes.max() + 1
    differences = np.array([np.diff(without(one))[0] for one in range(patients)])
    variance = (patients - 1) / patients * float(np.square(differences - differences.mean()).sum())
    return Gain(means, other, variance)


def _ranked(
    found: NDArray[np.float64],
    relevant: NDArray[np.bool_],
    others: NDArray[np.bool_],
    codes: NDArray[np.intp],
) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Whether each of the best of each query is relevant, and its patient (-1: may not be found), [s, m]."""
    order = np.argsort(-np.where(others, found, -np.inf), axis=1, kind="stable")[:, :_KEPT]
    hits = np.take_along_axis(relevant & others, order, axis=1)
    return hits, np.where(np.take_along_axis(others, order, axis=1), codes[order], -1)


def _precision(hits: NDArray[np.bool_], whose: NDArray[np.intp], without: int) -> NDArray[np.float64]:
    """Precision at 5 of each query [s] once a patient is gone."""
    left = (whose >= 0) & (whose != without)
    first = left & (np.cumsum(left, axis=1) <= _FIRST)
    precision: NDArray[np.float64] = (hits & first).sum(axis=1) / _FIRST
    return precision


def rows(count: int, scratch: Path | None) -> Iterator[dict[str, Any]]:
    """A line of results for each population, seed and way, and one for all seeds together."""
    for population in POPULATIONS:
        all_gains: dict[tuple[str, str], list[Gain]] = {(rule, way): [] for rule in RULES for way in WAYS}
        for seed in SEEDS:
            studies = kept(scratch, seed, population, count * ARCHIVES[population])
            size = (len(studies.patients), len(studies.vectors))
            of_seed: dict[tuple[str, str], list[Gain]] = {names: [] for names in all_gains}
            for archive in archives(studies, count):
                found = every_score(archive, NEIGHBOURS)
                for (rule, way), each in of_seed.items():
                    each.append(gain(archive, rule, found["means"], found[way]))
            for (rule, way), each in of_seed.items():
                all_gains[rule, way] += each
                yield _row((population, str(seed), rule, way), size, together(each))
        for (rule, way), each in all_gains.items():
            yield _row((population, "all", rule, way), ("", ""), together(each))


def together(gains: list[Gain]) -> Gain:
    """The mean of several archives."""
    return Gain(
        float(np.mean([one.means for one in gains])),
        float(np.mean([one.other for one in gains])),
        sum(one.variance for one in gains) / len(gains) ** 2,
    )


def _row(names: tuple[str, str, str, str], size: tuple[Any, Any], found: Gain) -> dict[str, Any]:
    low, high = found.interval
    return {
        **dict(zip(("population", "seed", "relevant", "way"), names, strict=True)),
        "studies": size[0],
        "images": size[1],
        "precision_at_5_by_means": round(found.means, 4),
        "precision_at_5": round(found.other, 4),
        "gain": round(found.other - found.means, 4),
        "gain_low": round(low, 4),
        "gain_high": round(high, 4),
    }


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search.study_retrieval")
    parser.add_argument("--studies", type=int, default=STUDIES, help=f"of each archive [{STUDIES}]")
    parser.add_argument("--out", type=Path, default=RESULTS, help="CSV of the results")
    parser.add_argument("--scratch", type=Path, help="a folder of one's own that keeps what was encoded")
    arguments = parser.parse_args()
    found = []
    for row in rows(arguments.studies, arguments.scratch):
        print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
        found.append(row)
    with arguments.out.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)


if __name__ == "__main__":
    main()

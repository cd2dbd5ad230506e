"""Which studies are synthesised: balanced over anatomies and findings, and the same for the same seed."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

import numpy as np

from medsiglip.phantoms.identity import age_on, derive_uid, person_name
from medsiglip.phantoms.report import read_phrases, report
from medsiglip.phantoms.study import PhantomSeries, PhantomStudy

__all__ = ["ANATOMIES", "Anatomy", "StudyPlan", "anatomy", "make_studies", "plan_studies", "synthesise_study"]


class Anatomy(Protocol):
    """A module that synthesises one kind of picture."""

    NAME: str
    FINDINGS: tuple[str, ...]

    @staticmethod
    def synthesise(
        patient: np.random.Generator,
        study: np.random.Generator,
        findings: Sequence[str],
        size: int | None = None,
    ) -> PhantomSeries:
        """Synthesise one series: `patient` decides the anatomy, `study` everything else."""
        ...


ANATOMIES: Mapping[str, str] = {
    "chest-xray": "XR chest",
    "chest-ct": "CT chest",
    "brain-mr": "MR brain",
    "mammogram": "MG screening mammography",
    "fundus": "Fundus photography",
    "skin": "Skin photography",
    "ultrasound": "US abdomen",
    "histology": "Histology slide",
    "head-ct": "CT head",
}
"""The kinds of picture that can be synthesised, by name, with the StudyDescription that each gets."""

_FIRST_DAY = datetime.date(2015, 1, 5)


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """The choices that make one study: everything that `synthesise_study` needs."""

    seed: int
    number: int
    anatomy: str
    findings: tuple[str, ...]
    patient: int
    visit: int


def anatomy(name: str) -> Anatomy:
    """Return the module that synthesises `name`; KeyError where there is none."""
    if name not in ANATOMIES:
        raise KeyError(f"There is no anatomy {name!r}; there are {', '.join(ANATOMIES)}.")
    return cast(Anatomy, import_module(f"medsiglip.phantoms.anatomy.{name.replace('-', '_')}"))


def make_studies(count: int, seed: int, anatomies: Sequence[str] | None = None) -> Iterator[PhantomStudy]:
    """Synthesise `count` studies of the given anatomies, all by default.

    Each finding of each anatomy, and being normal, is equally frequent. Study i depends on `seed` and
    `anatomies` only, not on `count`. About three patients in ten have two or three studies, of one anatomy.
    """
    for plan in plan_studies(count, seed, anatomies):
        yield synthesise_study(plan)


def plan_studies(count: int, seed: int, anatomies: Sequence[str] | None = None) -> list[StudyPlan]:
    """Return the plans of `make_studies`, so that several processes can share the work."""
    names = list(ANATOMIES if anatomies is None else anatomies)
    modules = {name: anatomy(name) for name in names}
    classes = [(name, finding) for name in names for finding in ("", *modules[name].FINDINGS)]
    queues = {name: _visits(np.random.default_rng([seed, 1, index])) for index, name in enumerate(names)}
    plans: list[StudyPlan] = []
    for number in range(count):
        block, place = divmod(number, len(classes))
        if place == 0:
            order = np.random.default_rng([seed, 2, block]).permutation(len(classes))
        name, finding = classes[int(order[place])]
        patient, visit = next(queues[name])
        findings = _with_second(
            np.random.default_rng([seed, 3, number]), name, finding, modules[name].FINDINGS
        )
        plans.append(StudyPlan(seed, number, name, findings, patient, visit))
    return plans


def synthesise_study(plan: StudyPlan, size: int | None = None) -> PhantomStudy:
    """Synthesise the study of `plan`, `size` pixels a side where given."""
    module = anatomy(plan.anatomy)
    kind = list(ANATOMIES).index(plan.anatomy)
    patient_seed = [plan.seed, 4, kind, plan.patient]
    study = np.random.default_rng([plan.seed, 5, kind, plan.number])
    series = module.synthesise(np.random.default_rng(patient_seed), study, plan.findings, size)
    patient_id = f"PH{derive_uid('patient', *patient_seed)[-9:]}"
    sex = _sex(plan.anatomy, patient_seed)
    life = np.random.default_rng([*patient_seed, 6])
    first = _FIRST_DAY + datetime.timedelta(days=int(life.integers(3000)))
    birth_year = first.year - int(life.integers(26, 86))
    date = first + datetime.timedelta(days=int(life.integers(20, 300, 3)[: plan.visit].sum()))
    present = {finding.name for finding in series.findings}
    words = np.random.default_rng([plan.seed, 7, kind, plan.number])
    return PhantomStudy(
        study_instance_uid=derive_uid("study", plan.seed, plan.anatomy, plan.number),
        patient_id=patient_id,
        patient_name=person_name(patient_id, sex),
        patient_sex=sex,
        patient_age=age_on(patient_id, birth_year, date),
        study_date=date.strftime("%Y%m%d"),
        study_description=ANATOMIES[plan.anatomy],
        series=(series,),
        report=report(words, read_phrases(plan.anatomy), series.findings),
        labels={name: int(name in present) for name in module.FINDINGS},
    )


def _visits(rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Yield (patient, visit) pairs without end."""
    patient = 0
    while True:
        for visit in range(int(rng.choice([1, 2, 3], p=[0.7, 0.2, 0.1]))):
            yield patient, visit
        patient += 1


def _with_second(
    rng: np.random.Generator, name: str, finding: str, findings: Sequence[str]
) -> tuple[str, ...]:
    if not finding:
        return ()
    # One chest radiograph in ten shows two things, normal ones counted.
    if name == "chest-xray" and rng.random() < 0.12:
        return (finding, str(rng.choice([other for other in findings if other != finding])))
    return (finding,)


def _sex(name: str, patient_seed: Sequence[int]) -> str:
    """Return "F" or "M" by the first random number of the patient's generator; the anatomy uses the same."""
    female = np.random.default_rng(patient_seed).random() < 0.5
    return "F" if female or name == "mammogram" else "M"

"""Reports that are true of their evidence, in varied words, and the faults that are planted in them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from medsiglip.medgemma.records import Evidence, EvidenceSeries, Finding, PriorStudy

SIDES = ("left", "right")
SIDED: Mapping[str, tuple[str, ...]] = {
    "pleural-effusion": (
        "There is a {size} {side} pleural effusion.",
        "{Size} {side} effusion is seen.",
        "Blunting of the {side} costophrenic angle, in keeping with a {size} effusion.",
        "A {size} pleural effusion is present on the {side}.",
        "{Side}-sided pleural effusion, {size} in amount, that tracks along the {side} chest wall.",
        "Pleural fluid is layering on the {side} side.",
    ),
    "pneumothorax": (
        "There is a {size} {side} pneumothorax.",
        "{Side} apical pneumothorax, {size}.",
        "A {size} pneumothorax is noted on the {side}.",
        "{Size} {side}-sided pneumothorax without mediastinal shift.",
        "Visceral pleural line over the {side} apex: {size} pneumothorax.",
    ),
    "consolidation": (
        "{Side} lower lobe consolidation.",
        "There is dense consolidation in the {side} lower lobe.",
        "Consolidation is seen at the {side} base.",
        "Air bronchograms within a {side} perihilar consolidation.",
    ),
    "nodule": (
        "A {mm} mm nodule projects over the {side} upper lobe.",
        "{Side} upper lobe nodule measuring {mm} mm.",
        "There is a nodule of {mm} mm in the {side} mid zone.",
        "Well-defined {mm} mm nodule, {side} lung.",
    ),
    "atelectasis": (
        "Linear atelectasis at the {side} base.",
        "There is {side} basal atelectasis.",
    ),
}
PLAIN: Mapping[str, tuple[str, ...]] = {
    "cardiomegaly": ("The heart is enlarged.", "There is cardiomegaly.", "Moderate cardiomegaly is present."),
    "edema": ("There is interstitial pulmonary edema.", "Mild pulmonary edema."),
    "support-devices": (
        "An endotracheal tube is in place.",
        "A central venous catheter is seen.",
        "There is a pacemaker with intact leads.",
    ),
}
ABSENT: Mapping[str, tuple[str, ...]] = {
    "pleural-effusion": (
        "No pleural effusion.",
        "There is no effusion.",
        "The costophrenic angles are clear.",
    ),
    "pneumothorax": ("No pneumothorax.", "There is no pneumothorax.", "Negative for pneumothorax."),
    "consolidation": ("No consolidation.", "There is no focal consolidation."),
    "nodule": ("No nodule is seen.", "There are no pulmonary nodules."),
    "atelectasis": ("No atelectasis.", "There is no atelectasis."),
    "cardiomegaly": ("The heart is normal in size.", "No cardiomegaly.", "Heart size is normal."),
    "edema": ("No pulmonary edema.", "There is no edema."),
    "support-devices": ("No support devices.", "There are no lines or tubes."),
}
NEUTRAL = (
    "The trachea is midline.",
    "The mediastinal contours are unremarkable.",
    "Degenerative changes of the thoracic spine at T8 and T9.",
    "The left hemidiaphragm lies 2 cm lower than the right.",
    "Right-sided aortic arch is not seen.",
    "The right heart border is sharp.",
    "Surgical clips project over the left axilla.",
    "The patient is rotated to the right.",
    "Two views of the chest, of 2 February 2022.",
    "The 61-year-old patient was examined upright.",
    "The left and right hila are symmetrical.",
    "The study is of good quality.",
)
SIZES = ("small", "moderate", "large", "trace")


@dataclass
class Case:
    """A text that is true of its evidence: its sentences by finding, in order, and the side of each."""

    evidence: Evidence
    findings: list[tuple[str, str]]
    impression: list[tuple[str, str]]
    sides: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        body = " ".join(sentence for _, sentence in self.findings)
        return f"FINDINGS:\n{body}\n\nIMPRESSION:\n" + "\n".join(sentence for _, sentence in self.impression)


def case(rng: random.Random) -> Case:
    """A chest radiograph with some findings present and the others absent, and its report."""
    labels = [*SIDED, *PLAIN]
    present = rng.sample(labels, rng.randint(2, 4))
    if not set(present) & set(SIDED):
        present[0] = rng.choice([*SIDED])
    findings = tuple(
        Finding(label, rng.uniform(0.85, 0.99), True, "prompts:chest-xray", 1)
        if label in present
        else Finding(label, rng.uniform(0.01, 0.15), False, "prompts:chest-xray", 1)
        for label in labels
    )
    evidence = Evidence(
        "1.2.3",
        "space",
        "DX",
        "CHEST",
        "chest-xray",
        findings,
        study_date="2022-02-02",
        patient_age=61.0,
        series=(EvidenceSeries("1.2.3.1", 2, 2, "DX", "PA"),),
    )
    made = Case(evidence, [], [], {label: rng.choice(SIDES) for label in SIDED})
    lengths = {label: rng.randint(4, 28) for label in SIDED}
    for label in rng.sample(labels, len(labels)):
        if label in present:
            made.findings.append((label, said(rng, label, made.sides.get(label, ""), lengths.get(label, 0))))
        elif rng.random() < 0.7:
            made.findings.append((label, rng.choice(ABSENT[label])))
        if rng.random() < 0.2:
            made.findings.append(("", rng.choice(NEUTRAL)))
    for label in present:
        made.impression.append((label, said(rng, label, made.sides.get(label, ""), lengths.get(label, 0))))
    return made


def said(rng: random.Random, label: str, side: str, length: int = 8) -> str:
    """A sentence that states a finding as present, on that side and of that length in mm."""
    size = rng.choice(SIZES)
    words = {"side": side, "Side": side.title(), "size": size, "Size": size.title(), "mm": length}
    return rng.choice(SIDED.get(label) or PLAIN[label]).format(**words)


def other(side: str) -> str:
    return SIDES[1 - SIDES.index(side)]


def turned(sentence: str, side: str) -> str:
    """The sentence with the other side."""
    for one in (side, side.title()):
        sentence = sentence.replace(one, other(side).title() if one[0].isupper() else other(side))
    return sentence


def with_prior(made: Case, text: str) -> Case:
    return replace(made, evidence=replace(made.evidence, prior=PriorStudy("1.2.9", "2021-01-01", text)))


FOREIGN: Mapping[str, Sequence[str]] = {
    "German": (
        "Kein Pneumothorax.",
        "Kleiner Pleuraerguss links.",
        "Das Herz ist vergrößert.",
        "Kein Nachweis einer Konsolidierung in der rechten Lunge.",
        "Die Lunge ist frei belüftet.",
    ),
    "French": (
        "Pas de pneumothorax.",
        "Petit épanchement pleural à gauche.",
        "Le cœur est augmenté de volume.",
        "Absence de foyer de condensation dans le poumon droit.",
        "Les poumons sont bien aérés.",
    ),
    "Spanish": (
        "No se observa neumotórax.",
        "Pequeño derrame pleural izquierdo.",
        "El corazón está aumentado de tamaño.",
        "Sin consolidación en el pulmón derecho.",
        "Los pulmones están bien ventilados.",
    ),
    "Italian": (
        "Non si osserva pneumotorace.",
        "Piccolo versamento pleurico a sinistra.",
        "Il cuore è ingrandito.",
        "Nessun addensamento nel polmone destro.",
        "I polmoni sono normalmente espansi.",
    ),
    "Portuguese": (
        "Não há pneumotórax.",
        "Pequeno derrame pleural à esquerda.",
        "O coração está aumentado.",
        "Sem consolidação no pulmão direito.",
        "Os pulmões estão bem expandidos.",
    ),
    "Dutch": (
        "Geen pneumothorax.",
        "Er is een kleine hoeveelheid pleuravocht links.",
        "Het hart is vergroot.",
        "Geen consolidatie in de rechter long.",
        "De longen zijn goed ontplooid.",
    ),
}

NEIGHBOUR = (
    "A {odd}-shaped opacity lies beside the {place} fissure.",
    "The {odd} nodule of {mm} mm was biopsied on {day} March 20{year}.",
    "{Name} was seen before with a {odd} mass.",
    "Patient {Name}, record {number}, has a {odd} shadow.",
    "Large {odd} collection behind the {place} recess, {mm} mm wide.",
)
ODD = ("falcate", "trilobed", "serpiginous", "crenate", "annular", "stellate", "reniform", "cuneate")
PLACES = ("azygos", "accessory", "minor", "oblique")
NAMES = ("Quirinia Vexelmann", "Odalys Brantwood", "Thaddeus Krommel", "Isolde Farquist")


def of_neighbour(rng: random.Random) -> str:
    """A sentence of another patient's report, which no other report holds."""
    return rng.choice(NEIGHBOUR).format(
        odd=rng.choice(ODD),
        place=rng.choice(PLACES),
        mm=rng.randint(11, 79),
        day=rng.randint(1, 28),
        year=rng.randint(10, 21),
        Name=rng.choice(NAMES),
        number=rng.randint(10**6, 10**7),
    )

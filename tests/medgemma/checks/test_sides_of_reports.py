"""Sides and sizes in reports as radiologists and generators write them: which have one that is wrong."""

from __future__ import annotations

import pytest

from medsiglip.medgemma.checks.review import review
from medsiglip.medgemma.records import Evidence, EvidenceSeries, PriorStudy


def series(modality: str, *sides: str) -> tuple[EvidenceSeries, ...]:
    return tuple(EvidenceSeries(str(number), 2, 2, modality, None, side) for number, side in enumerate(sides))


def evidence(
    prior: str | None = None,
    *,
    indication: str | None = None,
    of: tuple[EvidenceSeries, ...] = (EvidenceSeries("1", 2, 2, "DX"),),
    modality: str = "DX",
    part: str = "CHEST",
) -> Evidence:
    before = PriorStudy("1.9", "2023-01-01", prior) if prior else None
    return Evidence("1.2", "space", modality, part, "generic", prior=before, indication=indication, series=of)


REPORTS: list[tuple[str, Evidence, bool]] = [
    (
        "FINDINGS:\nLungs: Patchy airspace opacity in the RLL.\nPleura: Small right effusion.\n"
        "IMPRESSION:\n1. LLL pneumonia.\n2. Small right effusion.",
        evidence(),
        True,
    ),
    (
        "FINDINGS:\nLungs: Patchy airspace opacity in the RLL.\nPleura: Small right effusion.\n"
        "IMPRESSION:\n1. RLL pneumonia.\n2. Small right effusion.",
        evidence(),
        False,
    ),
    (
        "## Findings\n- **Pleura:** Moderate left-sided effusion, layering.\n"
        "- **Lungs:** Right upper lobe nodule, 9 mm.\n\n## Impression\n"
        "- Moderate right-sided pleural effusion.",
        evidence(),
        True,
    ),
    (
        "**FINDINGS:** Moderate effusion on the left with adjacent compressive atelectasis.\n"
        "**IMPRESSION:** Left effusion with atelectasis.",
        evidence(),
        False,
    ),
    (
        "**FINDINGS:** Moderate effusion on the left with adjacent compressive atelectasis.\n"
        "**IMPRESSION:** Right-sided effusion with atelectasis.",
        evidence(),
        True,
    ),
    (
        "Findings: Bilateral pleural effusions, right greater than left. Impression: Bilateral effusions.",
        evidence(),
        False,
    ),
    (
        "Findings: Bilateral pleural effusions, right greater than left.\n"
        "Impression: Right larger than left pleural effusions.",
        evidence(),
        False,
    ),
    (
        "Findings: Displaced fracture of the left 7th rib laterally.\nImpression: Left rib fracture.",
        evidence(),
        False,
    ),
    (
        "Findings: Displaced fracture of the left 7th rib laterally.\nImpression: Right rib fracture.",
        evidence(),
        True,
    ),
    (
        "Findings: Right internal jugular line. Left chest tube. Small left pneumothorax.\n"
        "Impression: Small left pneumothorax; lines as above.",
        evidence(),
        False,
    ),
    (
        "Findings: Right internal jugular line. Left chest tube. Small left pneumothorax.\n"
        "Impression: Small right pneumothorax.",
        evidence(),
        True,
    ),
    (
        "Persistent small pneumothorax at the left apex.",
        evidence("Small left apical pneumothorax after biopsy."),
        False,
    ),
    (
        "Persistent small pneumothorax at the right apex.",
        evidence("Small left apical pneumothorax after biopsy."),
        True,
    ),
    (
        "Left apical pneumothorax is again seen. New right effusion.",
        evidence("Small left apical pneumothorax."),
        False,
    ),
    ("No change in the right lower lobe mass.", evidence("Mass in the left lower lobe, 4 cm."), True),
    (
        "The mass in the left lower lobe has not changed in size (4.1 cm).",
        evidence("Mass in the left lower lobe, 4 cm."),
        False,
    ),
    (
        "The mass in the left lower lobe has not changed in size (41 cm).",
        evidence("Mass in the left lower lobe, 4 cm."),
        True,
    ),
    (
        "Compared to the prior, the left effusion has decreased while the right lung remains clear.",
        evidence("Left effusion. Right lung clear."),
        False,
    ),
    ("Nondisplaced fracture of the distal left radius.", evidence(part="WRIST", of=series("DX", "R")), True),
    (
        "Nondisplaced fracture of the distal right radius.",
        evidence(part="WRIST", of=series("DX", "R")),
        False,
    ),
    (
        "Right breast: no suspicious mass. Left breast: cluster of calcifications.",
        evidence(part="BREAST", modality="MG", of=series("MG", "R", "L")),
        False,
    ),
    ("Microaneurysms OS.", evidence(part="EYE", modality="OP", of=series("OP", "R")), True),
    (
        "Microaneurysms in the temporal arcade OD.",
        evidence(part="EYE", modality="OP", of=series("OP", "R")),
        False,
    ),
    (
        "The left ventricle is enlarged. Right pleural effusion unchanged.",
        evidence("Right pleural effusion."),
        False,
    ),
    ("Pleural effusions are present bilaterally, unchanged.", evidence("Right pleural effusion."), True),
    (
        "INDICATION: right pneumothorax.\nFINDINGS: Left pneumothorax.",
        evidence(indication="right pneumothorax"),
        True,
    ),
    (
        "FINDINGS: Three nodules, the largest 12 mm in the right upper lobe, others 5 mm and 4 mm.\n"
        "IMPRESSION: Multiple nodules, up to 12 mm.",
        evidence(),
        False,
    ),
    (
        "FINDINGS: Three nodules, the largest 12 mm in the right upper lobe.\n"
        "IMPRESSION: Multiple nodules, up to 12 cm.",
        evidence(),
        True,
    ),
    (
        "FINDINGS: ET tube 4 cm above the carina. Nodule 6 mm.\nIMPRESSION: ET tube 4 mm above the carina.",
        evidence(),
        True,
    ),
    (
        "FINDINGS: Consolidation in the left lung base, obscuring the left "
        "hemidiaphragm. Right lung is clear.\n"
        "IMPRESSION: Left basal pneumonia.",
        evidence(),
        False,
    ),
    (
        "FINDINGS: Mild cardiomegaly. Left basal opacity may represent atelectasis or pneumonia.\n"
        "IMPRESSION: Left basal atelectasis versus pneumonia.",
        evidence(),
        False,
    ),
    (
        "FINDINGS: Tension pneumothorax on the left with mediastinal shift toward the right.\n"
        "IMPRESSION: Left tension pneumothorax.",
        evidence(),
        False,
    ),
]


@pytest.mark.parametrize(("text", "of", "is_wrong"), REPORTS)
def test_reports_with_a_wrong_side_or_size(text: str, of: Evidence, is_wrong: bool) -> None:
    flags = {flag for check in review(text, of).checks for flag in check.flags}
    assert bool(flags & {"wrong-side", "wrong-size", "wrong-number"}) == is_wrong

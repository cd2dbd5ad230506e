"""The words of reports on head CT."""

from __future__ import annotations

from medsiglip.phantoms.study import Phrases

PHRASES = Phrases(
    view=(
        "head CT",
        "CT of the head",
        "noncontrast head CT",
        "non-contrast CT of the brain",
        "axial CT of the head",
        "brain CT",
        "cranial computed tomography",
        "computed tomography of the head without contrast",
    ),
    normal=(
        "normal head CT",
        "normal CT of the head",
        "unremarkable head CT",
        "no acute intracranial abnormality",
        "no acute intracranial process",
        "no intracranial haemorrhage",
        "no intracranial hemorrhage",
        "no hemorrhage, mass effect or midline shift",
        "normal study",
    ),
    present={
        "haemorrhage": (
            "intracranial haemorrhage",
            "intracranial hemorrhage",
            "intracranial bleed",
            "brain hemorrhage",
            "cerebral haemorrhage",
            "acute intracranial hemorrhage",
            "acute haemorrhage",
            "hyperdense blood",
            "intracranial haematoma",
            "intracranial hematoma",
            "acute bleeding in the head",
            "head CT with haemorrhage",
            "haemorrhagic stroke",
            "there is acute hemorrhage with mass effect",
            "haemorrhage in the {side} {location}",
            "hemorrhage in the {location}",
            "hematoma of the {side} {location}",
            "{severity} intracranial hemorrhage",
            "{severity} {side} intracranial haemorrhage",
            "{severity} haemorrhage in the {side} {location}",
            "{severity} hematoma in the {location}",
            "acute {side} hemorrhage",
        )
    },
    absent={
        "haemorrhage": (
            "no haemorrhage",
            "no hemorrhage",
            "no intracranial haemorrhage",
            "no intracranial hemorrhage",
            "no acute hemorrhage",
            "no intracranial bleed",
            "no evidence of intracranial hemorrhage",
            "no haematoma",
            "no extra-axial collection",
            "no acute blood products",
            "without haemorrhage",
            "negative for hemorrhage",
        )
    },
)

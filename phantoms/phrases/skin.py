"""The words of dermatology notes on a pigmented spot."""

from __future__ import annotations

from medsiglip.phantoms.study import Phrases

PHRASES = Phrases(
    view=(
        "skin lesion photograph",
        "photograph of a skin lesion",
        "clinical photograph of the skin",
        "dermatology image",
        "dermatology photograph",
        "dermoscopic image",
        "dermatoscopic photograph of the skin",
        "pigmented skin lesion",
        "image of the skin",
        "close-up of the skin",
    ),
    normal=(
        "benign naevus",
        "benign nevus",
        "melanocytic nevus",
        "Melanocytic Nevus",
        "melanocytic naevus",
        "benign mole",
        "common mole",
        "benign skin lesion",
        "benign pigmented lesion",
        "regular, symmetric brown naevus",
        "round mole with a regular border and uniform colour",
        "symmetric lesion with uniform pigmentation",
        "nevus",
        "no suspicious lesion",
    ),
    present={
        "melanoma": (
            "melanoma",
            "Melanoma",
            "malignant melanoma",
            "cutaneous melanoma",
            "superficial spreading melanoma",
            "suspicious for melanoma",
            "lesion suspicious for melanoma",
            "malignant skin lesion",
            "malignant pigmented lesion",
            "skin cancer",
            "melanoma of the skin",
            "asymmetric pigmented lesion with irregular borders",
            "irregular border and multiple colours",
            "asymmetric lesion with irregular border and colour variegation",
            "irregular lesion with black and blue areas",
            "blue-white veil and irregular pigmentation",
            "suspicious pigmented lesion",
            "atypical pigmented lesion, melanoma",
            "{severity} melanoma",
            "{severity} asymmetric lesion, melanoma",
            "{severity} malignant melanoma",
            "{severity} irregular pigmented lesion",
        )
    },
    absent={
        "melanoma": (
            "no melanoma",
            "no evidence of melanoma",
            "no sign of malignancy",
            "not suspicious for melanoma",
            "no features of melanoma",
            "no skin cancer",
            "no asymmetry or border irregularity",
            "not malignant",
            "negative for melanoma",
            "without melanoma",
            "benign, no melanoma",
        )
    },
)

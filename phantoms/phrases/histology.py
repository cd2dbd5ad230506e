"""The words of reports on breast tissue stained with haematoxylin and eosin."""

from __future__ import annotations

from medsiglip.phantoms.study import Phrases

PHRASES = Phrases(
    view=(
        "histopathology image of breast tissue",
        "HE histopathology image of breast tissue",
        "HE section of breast tissue",
        "microscopic view of breast tissue",
        "H&E stained breast biopsy",
        "HE-stained section of the breast",
        "region of breast tissue on histopathology",
        "hematoxylin and eosin stain, breast",
        "histology slide",
        "microscopic view of breast specimen",
    ),
    normal=(
        "benign breast tissue",
        "normal breast tissue",
        "region of an HE histopathology image showing benign breast tissue",
        "HE-stained image demonstrating normal breast tissue architecture",
        "breast lobules and ducts, benign",
        "regular uniformly spaced glands",
        "regular glands with open lumina",
        "no malignancy",
        "no atypia",
        "benign glands in normal stroma",
    ),
    present={
        "carcinoma": (
            "carcinoma",
            "breast carcinoma",
            "breast cancer",
            "invasive carcinoma",
            "invasive breast carcinoma",
            "invasive ductal carcinoma",
            "adenocarcinoma",
            "malignant tumour cells",
            "malignant cells invading the stroma",
            "region of an HE histopathology image showing invasive breast carcinoma",
            "HE-stained region demonstrating features of invasive breast carcinoma",
            "microscopic view of breast specimen demonstrating breast cancer",
            "dense cellularity and atypical cells",
            "disorganized glandular architecture",
            "stromal invasion by malignant cells",
            "carcinoma of the breast",
            "histology of cancer",
            "pleomorphic hyperchromatic nuclei in disordered sheets, carcinoma",
            "{severity} carcinoma",
            "{severity} invasive breast carcinoma",
            "{severity} ductal carcinoma",
        )
    },
    absent={
        "carcinoma": (
            "no carcinoma",
            "no evidence of carcinoma",
            "no malignancy",
            "no invasive carcinoma",
            "no cancer",
            "negative for carcinoma",
            "negative for malignancy",
            "absence of cellular atypia",
            "benign, no malignant cells",
            "without carcinoma",
        )
    },
)

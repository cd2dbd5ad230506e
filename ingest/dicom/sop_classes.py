"""SOP classes with a treatment of their own, and those without an image (PS3.4 B.5)."""

from __future__ import annotations

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
WHOLE_SLIDE_MICROSCOPY = "1.2.840.10008.5.1.4.1.1.77.1.6"
_STORAGE = "1.2.840.10008.5.1.4.1.1."
# X-Ray Angiographic, Radiofluoroscopic, and the retired biplane class.
_ANGIOGRAPHY = frozenset(_STORAGE + n for n in ("12.1", "12.2", "12.3"))
# SOP classes without a picture to embed, by the first components of their UID (PS3.4 B.5); the first match
# counts.
SKIPPED_CLASSES = (
    ("1.2.840.10008.1.3.10", "dicomdir"),
    (_STORAGE + "88.59", "key-object"),
    (_STORAGE + "88", "structured-report"),
    (_STORAGE + "11", "presentation-state"),
    (_STORAGE + "9", "waveform"),
    (_STORAGE + "4.2", "spectroscopy"),
    # Philips: Private MR Spectrum, Series Data and Examcard; Siemens: CSA Non-Image.
    ("1.3.46.670589.11.0.0.12.1", "spectroscopy"),
    ("1.3.46.670589.11.0.0.12", "no-picture-class"),
    ("1.3.12.2.1107.5.9.1", "no-picture-class"),
    (_STORAGE + "30", "parametric-map"),
    (_STORAGE + "66.4", "segmentation"),
    (_STORAGE + "66.5", "segmentation"),
    (_STORAGE + "66.7", "segmentation"),
    (_STORAGE + "66", "no-picture-class"),
    (_STORAGE + "67", "no-picture-class"),
    (_STORAGE + "68", "no-picture-class"),
    # Measurements of eyes, visual fields, macular grids; assessments, structured displays.
    (_STORAGE + "77.1.5.3", "no-picture-class"),
    (_STORAGE + "78", "no-picture-class"),
    (_STORAGE + "79", "no-picture-class"),
    (_STORAGE + "80", "no-picture-class"),
    (_STORAGE + "90", "no-picture-class"),
    (_STORAGE + "131", "no-picture-class"),
    # Protocols of procedures.
    (_STORAGE + "200", "no-picture-class"),
    ("1.2.840.10008.5.1.4.34", "rt-object"),
    (_STORAGE + "91.1", "annotation"),
    (_STORAGE + "104", "encapsulated-document"),
    (_STORAGE + "481.2", "rt-dose"),
    # RT Image and the enhanced ones hold a picture.
    (_STORAGE + "481.1", ""),
    (_STORAGE + "481.23", ""),
    (_STORAGE + "481.24", ""),
    (_STORAGE + "481", "rt-object"),
)
SKIPPED_MODALITIES = {
    "SR": "structured-report",
    "KO": "key-object",
    "PR": "presentation-state",
    "SEG": "segmentation",
    "ECG": "waveform",
    "ANN": "annotation",
    "RTDOSE": "rt-dose",
    "RTPLAN": "rt-object",
    "RTSTRUCT": "rt-object",
    "RTRECORD": "rt-object",
    "REG": "no-picture-class",
    "FID": "no-picture-class",
    "RWV": "no-picture-class",
    "DOC": "encapsulated-document",
    "HC": "encapsulated-document",
}


def is_angiography(sop_class_uid: str, modality: str) -> bool:
    """Whether an image is XA or XRF: by its class, and by its modality only if no class is named."""
    return sop_class_uid in _ANGIOGRAPHY or (not sop_class_uid and modality in {"XA", "RF"})


def is_secondary_capture(sop_class_uid: str) -> bool:
    """Whether a class is Secondary Capture Image Storage or one of its multi-frame classes."""
    return sop_class_uid == SECONDARY_CAPTURE or sop_class_uid.startswith(SECONDARY_CAPTURE + ".")

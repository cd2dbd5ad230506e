"""Presentation contexts: SOP classes and transfer syntaxes that are offered together (PS3.8, 7.1.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AllStoragePresentationContexts
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext, build_context, build_role

from medsiglip.ingest.dicom.transfer_syntaxes import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    TRANSFER_SYNTAXES,
)

# PS3.8, section 9.3.2.2: an ID is an odd number of one byte.
MOST_CONTEXTS = 128
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
VERIFICATION = "1.2.840.10008.1.1"
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_JPIP = ("1.2.840.10008.1.2.4.204", "1.2.840.10008.1.2.4.205")  # their pixels stay on a server
_UNCOMPRESSED = (EXPLICIT, IMPLICIT, DEFLATED, BIG_ENDIAN)
SYNTAXES: tuple[str, ...] = tuple(
    uid
    for uid in dict.fromkeys((*_UNCOMPRESSED, *TRANSFER_SYNTAXES, *map(str, AllTransferSyntaxes)))
    if uid not in _JPIP
)
STORAGE_CLASSES: tuple[str, ...] = tuple(
    str(context.abstract_syntax) for context in AllStoragePresentationContexts
)
# Classes without pixel data (PS3.4, table B.5-1): no compressed syntax is meant for them.
_WITHOUT_PIXELS = tuple(
    _STORAGE + branch
    for branch in (
        *("9.", "11.", "66.1", "66.2", "66.3", "66.5", "66.6", "67", "68.", "88.", "104."),
        *("481.3", "481.5", "481.8"),
    )
)
# What a series of a modality most often holds, where a PACS does not say the class (PS3.3 C.7.3.1.1.1).
_LIKELY = {
    "CT": ("2", "2.1", "2.2", "7"),
    "MR": ("4", "4.1", "4.4", "7"),
    "CR": ("1", "7"),
    "DX": ("1.1", "1.1.1", "1", "7"),
    "MG": ("1.2", "1.2.1", "13.1.3", "7"),
    "IO": ("1.3", "1.3.1"),
    "PX": ("1.1", "1.3"),
    "US": ("6.1", "3.1", "6.2", "7"),
    "IVUS": ("3.1", "6.1"),
    "XA": ("12.1", "12.1.1", "13.1.1", "7"),
    "RF": ("12.2", "12.2.1", "7"),
    "NM": ("20", "7"),
    "PT": ("128", "130", "128.1", "7"),
    "ES": ("77.1.1", "77.1.1.1", "7"),
    "XC": ("77.1.4", "77.1.4.1", "7"),
    "GM": ("77.1.2",),
    "SM": ("77.1.6", "77.1.3"),
    "OP": ("77.1.5.1", "77.1.5.2", "7"),
    "OPT": ("77.1.5.4",),
    "OT": ("7", "7.4", "7.2"),
    "SR": ("88.33", "88.22", "88.11", "88.67"),
    "KO": ("88.59",),
    "PR": ("11.1", "11.2"),
    "SEG": ("66.4",),
    "DOC": ("104.1",),
    "ECG": ("9.1.1", "9.1.2"),
    "RTSTRUCT": ("481.3",),
    "RTPLAN": ("481.5",),
    "RTDOSE": ("481.2",),
    "RTIMAGE": ("481.1",),
    "REG": ("66.1", "66.3"),
}
_COMMON = ("2", "4", "1", "1.1", "7", "6.1", "3.1", "12.1", "20", "128", "1.2", "88.33", "88.22", "104.1")


def syntaxes_of(sop_class_uid: str) -> tuple[str, ...]:
    """The transfer syntaxes in which instances of a class are taken."""
    return _UNCOMPRESSED if sop_class_uid.startswith(_WITHOUT_PIXELS) else SYNTAXES


def likely_classes(modality: str) -> list[str]:
    """Every storage class, those first that a series of a modality is likely to hold."""
    first = [_STORAGE + end for end in (*_LIKELY.get(modality, ()), *_COMMON)]
    return list(dict.fromkeys((*first, *STORAGE_CLASSES)))


def packed(sop_classes: Iterable[str], reserved: int = 1) -> list[tuple[str, ...]]:
    """Classes in as many groups as there must be associations, in their order, all syntaxes of a class in
    one: where the stored syntax is not offered for a class that is, archives transcode. `reserved` contexts
    of each are needed for something else.
    """
    groups: list[tuple[str, ...]] = []
    room = 0
    for sop_class in dict.fromkeys(sop_classes):
        needed = len(syntaxes_of(sop_class))
        if not groups or needed > room:
            groups.append(())
            room = MOST_CONTEXTS - reserved
        groups[-1] = (*groups[-1], sop_class)
        room -= needed
    return groups


def storage_contexts(sop_classes: Iterable[str]) -> list[PresentationContext]:
    """One context for each class and syntax, so that what is stored in a syntax is sent in it."""
    return [build_context(uid, syntax) for uid in sop_classes for syntax in syntaxes_of(uid)]


def receiving_roles(sop_classes: Iterable[str]) -> list[SCP_SCU_RoleSelectionNegotiation]:
    """That this side is the SCP of these classes, though it asks for the association (PS3.7, D.3.3.4)."""
    return [build_role(uid, scp_role=True) for uid in sop_classes]


def question_contexts(*sop_classes: str) -> list[PresentationContext]:
    """Contexts for questions, in both little endian encodings."""
    return [build_context(uid, [EXPLICIT, IMPLICIT]) for uid in sop_classes]


def sending_contexts(pairs: Sequence[tuple[str, str]]) -> list[PresentationContext]:
    """One context for each class and syntax of files to send, and one in the default syntax for each class
    whose files need no decoder to be sent in it (PS3.5, section 10.1).
    """
    plain = [(uid, IMPLICIT) for uid, syntax in pairs if syntax in (EXPLICIT, BIG_ENDIAN, DEFLATED)]
    return [build_context(uid, syntax) for uid, syntax in dict.fromkeys((*pairs, *plain))]

"""Opening an association: who calls, which SOP classes and transfer syntaxes are accepted (PS3.8, 7.1)."""

from __future__ import annotations

import logging
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from typing import Any

from medsiglip.ingest.dicom.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from medsiglip.ingest.dicom.transfer_syntaxes import EXPLICIT, IMPLICIT
from medsiglip.ingest.receiving.options import AllowedSender
from medsiglip.ingest.receiving.upper_layer import MAX_PDU, ProtocolError

VERIFICATION = "1.2.840.10008.1.1"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
# PS3.4, annex B.5: the classes of the standard are registered below this root, but for two of them.
_STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."
_STANDARD_ROOT = "1.2.840.10008."
_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
# Transfer syntaxes that are no encoding of a stored data set: MIME and XML (PS3.6, table A-1).
_NOT_STORED = ("1.2.840.10008.1.2.6.",)
ACCEPTED, NO_ABSTRACT_SYNTAX, NO_TRANSFER_SYNTAX = 0, 3, 4  # PS3.8, table 9-18
# PS3.8, table 9-11: where the items of a request begin behind the header of its PDU, and how each does.
_FIRST_ITEM, _ITEM = 68, struct.Struct(">BxH")
_CONTEXT_ITEM, _USER_ITEM = 0x20, 0x50
# Numbers of contexts are odd and below 256 (PS3.8, 9.3.2.2).
_MAX_CONTEXTS, _MAX_ITEMS = 128, 20_000
# What is decoded takes many times its bytes, so one request at a time is.
_decoding = threading.Lock()


@dataclass(frozen=True, slots=True)
class Context:
    """A presentation context: what was proposed under its number, and what was decided."""

    number: int
    abstract_syntax: str
    transfer_syntax: str
    result: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """An A-ASSOCIATE-RQ: who calls whom, with contexts that are decided already. `longest_pdu` is 0 where the
    requestor takes any.
    """

    calling_ae: str
    called_ae: str
    knows_dicom: bool
    contexts: tuple[Context, ...]
    longest_pdu: int


def read_proposal(content: memoryview) -> Proposal:
    """The proposal that a PDU holds; raises `ProtocolError`."""
    _check_items(content[_FIRST_ITEM:])
    with _decoding:
        return _decoded(content)


def _check_items(content: memoryview) -> None:
    """Raise `ProtocolError` for more items than a request can need: anybody may send one."""
    count, kinds = 0, {_CONTEXT_ITEM: 0, _USER_ITEM: 0}
    for kind, item in _items(content):
        count += 1
        if kind in kinds:
            kinds[kind] += 1
            count += sum(1 for _ in _items(item[4:] if kind == _CONTEXT_ITEM else item))
        if count > _MAX_ITEMS or kinds[_CONTEXT_ITEM] > _MAX_CONTEXTS or kinds[_USER_ITEM] > 1:
            raise ProtocolError


def _items(content: memoryview) -> Iterator[tuple[int, memoryview]]:
    at = 0
    while at + _ITEM.size <= len(content):
        kind, length = _ITEM.unpack_from(content, at)
        at += _ITEM.size
        yield kind, content[at : at + length]
        at += length


def _decoded(content: memoryview) -> Proposal:
    from pynetdicom.pdu import A_ASSOCIATE_RQ

    pdu: Any = A_ASSOCIATE_RQ()
    try:
        pdu.decode(b"\x01\0" + len(content).to_bytes(4, "big") + content)
        contexts = tuple(
            _decided(
                item.presentation_context_id,
                str(item.abstract_syntax or ""),
                [str(one) for one in item.transfer_syntax],
            )
            for item in pdu.presentation_context
        )
        user = pdu.user_information
        longest = user.maximum_length if user is not None else None
        is_known = str(pdu.application_context_name) == _APPLICATION_CONTEXT
        titles = (str(pdu.calling_ae_title).strip(), str(pdu.called_ae_title).strip())
    except Exception:  # whatever pynetdicom raises for what is not a request
        raise ProtocolError from None
    return Proposal(*titles, knows_dicom=is_known, contexts=contexts, longest_pdu=longest or 0)


def _decided(number: int, abstract_syntax: str, transfer_syntaxes: Sequence[str]) -> Context:
    """The first transfer syntax that serves is taken: senders name first what they would rather send."""
    serves = _stored_syntax if is_storage(abstract_syntax) else _plain_syntax
    known = abstract_syntax in (VERIFICATION, STORAGE_COMMITMENT) or is_storage(abstract_syntax)
    chosen = next((one for one in transfer_syntaxes if serves(one)), None)
    if not known:
        return Context(number, abstract_syntax, IMPLICIT, NO_ABSTRACT_SYNTAX)
    if chosen is None:
        return Context(number, abstract_syntax, IMPLICIT, NO_TRANSFER_SYNTAX)
    return Context(number, abstract_syntax, chosen, ACCEPTED)


def prepare_codecs() -> None:
    """Load what the first association would wait for. pynetdicom then logs nothing: it quotes what comes."""
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
    _listed_classes()


def is_storage(sop_class_uid: str) -> bool:
    """Whether a SOP class is one of storage: of the standard, or private."""
    if sop_class_uid.startswith(_STANDARD_ROOT):
        return sop_class_uid.startswith(_STORAGE_ROOT) or sop_class_uid in _listed_classes()
    return bool(sop_class_uid)


@cache
def _listed_classes() -> frozenset[str]:
    from pynetdicom.presentation import AllStoragePresentationContexts

    return frozenset(str(context.abstract_syntax) for context in AllStoragePresentationContexts)


def _stored_syntax(uid: str) -> bool:
    """Whether data sets of a transfer syntax can be kept as they are: those of the standard, all of which
    are little endian with explicit VRs but for two (PS3.5, annex A).
    """
    is_standard = uid == IMPLICIT or uid.startswith(IMPLICIT + ".")
    return is_standard and not uid.startswith(_NOT_STORED)


def _plain_syntax(uid: str) -> bool:
    return uid in (IMPLICIT, EXPLICIT)


def acceptance(proposal: Proposal) -> bytes:
    """The A-ASSOCIATE-AC that answers a proposal."""
    from pydicom.uid import UID
    from pynetdicom.pdu import A_ASSOCIATE_AC
    from pynetdicom.pdu_primitives import (
        A_ASSOCIATE,
        ImplementationClassUIDNotification,
        ImplementationVersionNameNotification,
        MaximumLengthNotification,
    )
    from pynetdicom.presentation import PresentationContext

    answer: Any = A_ASSOCIATE()
    answer.application_context_name = UID(_APPLICATION_CONTEXT)
    answer.calling_ae_title, answer.called_ae_title = proposal.calling_ae, proposal.called_ae
    answer.result, answer.result_source = 0, 1
    contexts = []
    for one in proposal.contexts:
        context: Any = PresentationContext()
        context.context_id, context.result = one.number, one.result
        context.transfer_syntax = [UID(one.transfer_syntax)]
        contexts.append(context)
    answer.presentation_context_definition_results_list = contexts
    longest: Any = MaximumLengthNotification()
    longest.maximum_length_received = MAX_PDU
    implementation: Any = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    version: Any = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    answer.user_information = [longest, implementation, version]
    pdu: Any = A_ASSOCIATE_AC(answer)
    encoded: bytes = pdu.encode()
    return encoded


def is_allowed(allowed: Sequence[AllowedSender], calling_ae: str, address: str) -> bool:
    """Whether an AE may send from an address; any may where none is listed."""
    if not allowed:
        return True
    return any(one.ae_title == calling_ae and _is_at(one, address) for one in allowed)


def _is_at(sender: AllowedSender, address: str) -> bool:
    place = ip_address(address.partition("%")[0])
    place = getattr(place, "ipv4_mapped", None) or place
    if sender.network is not None:
        return place in sender.network
    if sender.host is None:
        return True
    try:
        found = socket.getaddrinfo(sender.host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return any(ip_address(str(entry[4][0]).partition("%")[0]) == place for entry in found)

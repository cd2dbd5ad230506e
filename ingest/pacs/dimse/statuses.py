"""What the statuses of DIMSE say (PS3.7, annex C; PS3.4, B.2.3, C.4), and what helps."""

from __future__ import annotations

from medsiglip.ingest.errors import PacsError

SUCCESS, CANCELLED = 0x0000, 0xFE00
PENDING = frozenset({0xFF00, 0xFF01})
# Some sub-operations failed or warned: which ones, the caller finds by counting.
IN_PART = frozenset({0xB000, 0xA702})
CURES = {
    0x0122: "it does not offer this service to this AE title: allow it there, or use another way",
    0x0124: "it does not allow this AE title to do so: allow it there",
    0x0210: "it says that the request came twice: try again",
    0xA700: "it is out of resources: try again later",
    0xA701: "it cannot count the matches: try again later, or ask for less",
    0xA801: "it does not know the AE title {destination} of the receiver: enter it there with host and port",
    0xA900: "it does not understand the question: try it with fewer conditions",
}


def failure(name: str, status: int, destination: str | None = None) -> PacsError:
    """The error of a connection's answer `status`; `destination` is the AE title that was to receive.

    Comments of the PACS are left out: they may name a person.
    """
    cure = CURES.get(status)
    if cure is None and destination is not None:
        cure = (
            "it does not know the AE title {destination}, or cannot reach it: enter it there with host and "
            "port, and see that the receiver runs"
        )
    cure = (cure or "look into its log, and try again").format(destination=destination)
    code = "pacs-refused" if status == 0x0124 else "pacs-failed"
    sentence = f"{name} answers with status 0x{status:04X}: {cure}."
    return PacsError(code, sentence, may_pass=may_pass(status))


def may_pass(status: int) -> bool:
    """Whether the same may succeed later: out of resources, processing failed, unable to process."""
    return status in (0x0110, 0x0210, 0x0213, 0xA700, 0xA701) or 0xC000 <= status <= 0xCFFF


def store_may_pass(status: int) -> bool:
    """Whether an instance that was refused may be taken later (PS3.4, B.2.3): not where the PACS cannot
    understand it.
    """
    return status in (0x0110, 0x0210, 0x0213) or 0xA700 <= status <= 0xA7FF

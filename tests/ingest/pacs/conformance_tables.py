"""The tables of docs/conformance.md, made from the code: `python -m tests.ingest.pacs.conformance_tables`
writes them between their marks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from fastapi.routing import APIRoute
from pydicom.uid import UID, EncapsulatedPDFStorage
from pydicom.uid import ComprehensiveSRStorage as ComprehensiveSR
from pynetdicom import sop_class as registered

from medsiglip.api.archive.dicomweb.questions import MATCHED
from medsiglip.api.http.routes.dicomweb import drawings, headers, pixels, searching, storing
from medsiglip.ingest.dicom.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from medsiglip.ingest.dicom.sop_classes import SKIPPED_CLASSES
from medsiglip.ingest.dicom.transfer_syntaxes import TRANSFER_SYNTAXES
from medsiglip.ingest.pacs.connection import Connection
from medsiglip.ingest.pacs.dimse import asking, association, contexts, statuses
from medsiglip.ingest.receiving import association as receiver
from medsiglip.ingest.receiving import commitment, negotiation, upper_layer
from medsiglip.ingest.receiving.options import ReceiverOptions
from tests.repository import ROOT

PAGE = ROOT / "docs" / "conformance.md"
QUESTIONS = (
    contexts.VERIFICATION,
    contexts.STUDY_ROOT_FIND,
    contexts.STUDY_ROOT_MOVE,
    contexts.STUDY_ROOT_GET,
)


def tables() -> dict[str, str]:
    """Each table as Markdown, by the name in its marks."""
    return {
        "services": table(("SOP class", "UID", "SCU", "SCP"), services()),
        "classes": table(("SOP class", "UID", "Use here"), storage_classes()),
        "syntaxes": table(("Transfer syntax", "UID", "Asked for", "Decoded"), syntaxes()),
        "questions": table(("Level", "Matched", "Returned"), questions()),
        "answers": table(("Status", "What a person is told"), answers()),
        "stored": table(("Status", "When"), stored()),
        "rejections": table(("Result, source, reason", "When"), rejections()),
        "commitment": table(("Failure Reason", "When"), commitment_reasons()),
        "network": table(("Parameter", "Asking", "Receiving"), network()),
        "web": table(("Transaction", "Resource"), web()),
        "qido": table(("Attribute", "Compared with"), [(code(key), value) for key, value in MATCHED.items()]),
    }


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def code(value: str) -> str:
    return f"`{value}`"


def name_of(uid: str) -> str:
    """The name of a class by PS3.6, or from the keyword that pynetdicom gives to a newer one."""
    name = UID(uid).name
    if name != uid:
        return name
    keywords = [key for key, value in vars(registered).items() if value == uid and isinstance(value, str)]
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", min(keywords))


def services() -> list[tuple[str, str, str, str]]:
    asked = [(name_of(uid), code(uid), "yes", "no") for uid in QUESTIONS[1:]]
    return [
        (name_of(contexts.VERIFICATION), code(contexts.VERIFICATION), "yes", "yes"),
        *asked,
        ("Storage classes, listed below", "", "yes", "yes, at the receiver and for C-GET"),
        (name_of(negotiation.STORAGE_COMMITMENT), code(negotiation.STORAGE_COMMITMENT), "no", "yes"),
    ]


def storage_classes() -> list[tuple[str, str, str]]:
    sent = {
        str(ComprehensiveSR): "; sent for accepted drafts",
        str(EncapsulatedPDFStorage): "; sent for them",
    }
    return [(name_of(uid), code(uid), use_of(uid) + sent.get(uid, "")) for uid in contexts.STORAGE_CLASSES]


def use_of(uid: str) -> str:
    reason = next((code for start, code in SKIPPED_CLASSES if f"{uid}.".startswith(f"{start}.")), "")
    return f"kept, without a picture ({reason})" if reason else "embedded"


def syntaxes() -> list[tuple[str, str, str, str]]:
    return [
        (name_of(uid), code(uid), "yes" if uid in contexts.SYNTAXES else "no", decoders(uid))
        for uid in dict.fromkeys((*contexts.SYNTAXES, *TRANSFER_SYNTAXES))
    ]


def decoders(uid: str) -> str:
    known = TRANSFER_SYNTAXES.get(uid)
    return "no" if known is None else "yes, by " + " or ".join(known.decoders)


def questions() -> list[tuple[str, str, str]]:
    matched = [*asking.MATCHED_KEYS, "StudyDate"]
    series, instance = asking.series_question("1"), asking.instance_question("1", "2")
    return [
        ("STUDY", ", ".join(matched), ", ".join(asking.STUDY_KEYS)),
        ("SERIES", given(series), ", ".join(asking.SERIES_KEYS)),
        ("IMAGE", given(instance), ", ".join(asking.INSTANCE_KEYS)),
    ]


def given(question: Iterable[object]) -> str:
    keywords = [element.keyword for element in question if element.value]  # type: ignore[attr-defined]
    return ", ".join(keyword for keyword in keywords if keyword != "QueryRetrieveLevel")


def answers() -> list[tuple[str, str]]:
    return [
        (code(f"{status:04X}"), cure.format(destination="…"))
        for status, cure in sorted(statuses.CURES.items())
    ]


def stored() -> list[tuple[str, str]]:
    meanings = {
        receiver.SUCCESS: "the instance is on the disk, synced",
        receiver.OUT_OF_RESOURCES: "the disk is full, or the instance is larger than is taken",
        receiver.MISMATCH: "the data set is of another SOP class or instance than the command says",
        receiver.CANNOT_UNDERSTAND: "the data set cannot be read, or names no study or instance",
        receiver.CLASS_NOT_SUPPORTED: "the command names another SOP class than its context",
    }
    return [(code(f"{status:04X}"), meaning) for status, meaning in meanings.items()]


def rejections() -> list[tuple[str, str]]:
    return [
        ("1, 1, 2", "another application context than DICOM's"),
        ("1, 1, 7", "the called AE title is another"),
        ("1, 1, 3", "the calling AE title is not listed, or calls from elsewhere"),
        ("2, 3, 2", "as many associations are open as may be, in all or of this AE title"),
    ]


def commitment_reasons() -> list[tuple[str, str]]:
    return [
        (code(f"{commitment.NO_SUCH_INSTANCE:04X}"), "no such object instance: it is not kept here"),
        (
            code(f"{commitment.CLASS_CONFLICT:04X}"),
            "class and instance conflict: it is kept as another class",
        ),
    ]


def network() -> list[tuple[str, str, str]]:
    taken = ReceiverOptions()
    asked = Connection("pacs", "dimse")
    return [
        ("Implementation Class UID", code(IMPLEMENTATION_CLASS_UID), code(IMPLEMENTATION_CLASS_UID)),
        ("Implementation Version Name", code(IMPLEMENTATION_VERSION_NAME), code(IMPLEMENTATION_VERSION_NAME)),
        (
            "AE title",
            f"{code(asked.calling_ae_title)}, set for each PACS",
            f"{code(taken.ae_title)}, a setting",
        ),
        ("Longest PDU taken", f"{association.LONGEST_PDU_TAKEN:,} bytes", f"{upper_layer.MAX_PDU:,} bytes"),
        ("Contexts offered", f"at most {contexts.MOST_CONTEXTS}", ""),
        ("Largest instance", f"{association.MOST_OF_AN_INSTANCE:,} bytes", f"{taken.largest_bytes:,} bytes"),
        ("Associations", "one for questions, one to fetch, one to send", f"at most {taken.associations}"),
        ("Waiting for the association", f"{asked.timeout_seconds:g} s", f"{taken.acse_seconds:g} s"),
        ("Silence that ends it", "none between operations", f"{taken.idle_seconds:g} s"),
    ]


def web() -> list[tuple[str, str]]:
    routes = []
    for module in (storing, searching, pixels, headers, drawings):
        for route in module.router.routes:
            assert isinstance(route, APIRoute)
            method = "POST" if "POST" in (route.methods or ()) else "GET"
            prefix = "" if route.path.startswith("/dicom-web") else "/dicom-web"
            path = route.path.replace(":path", "")
            routes.append((transaction(module.__name__), code(f"{method} {prefix}{path}")))
    return sorted(set(routes))


def transaction(module: str) -> str:
    return {"storing": "STOW-RS", "searching": "QIDO-RS"}.get(module.rpartition(".")[2], "WADO-RS")


def with_tables(page: str) -> str:
    """The page with each table as it is made now."""
    for name, made in tables().items():
        mark = f"<!-- table: {name} -->\n"
        assert page.count(mark) == 1, name
        before, rest = page.split(mark)
        page = f"{before}{mark}\n{made}\n\n" + rest[rest.index("<!-- end of table -->") :]
    return page


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

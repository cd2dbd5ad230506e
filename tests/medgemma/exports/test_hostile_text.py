"""What a generator may write is shown as text in every export: no markup, links, pictures or controls."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pydicom
import pytest

from medsiglip.medgemma.exports.export import FORMATS, export
from medsiglip.medgemma.exports.passages import shown
from medsiglip.medgemma.records import Draft
from tests.dciodvfy import dciodvfy
from tests.medgemma.exports.exported_drafts import (
    ACCEPTED,
    FACTS,
    Pictures,
    draft,
    embedded_pdf,
    needs_font,
    read_back,
    squeezed,
)
from tests.medgemma.exports.pdf_ua import TaggedPdf

# Situations of the scripted server whose replies hold what another program might act upon.
SITUATIONS = ("inject_html", "unicode", "latex", "long_word", "long_sentence", "nul")
TEXTS = {
    "script": "<script>alert(1)</script> <img src=x onerror=alert(2)> &lt;b&gt; ]]> <!-- x --> <?pi?>.",
    "links": "[here](javascript:x) ![p](http://h/p.png) <http://h> http://h/x www.example.org a@example.org.",
    "references": "[a]: http://h\n[a] [b][a] [^1]\n\n[^1]: note.",
    "markdown": "# H\n> q\n---\n- l\n1) n\n```\ncode\n```\n| a | b |\n|---|---|\n| 1 | 2 |\nA\n===",
    "tex": r"$\frac{1}{2}$ $$x$$ \(y\) \[z\] \input{/etc/passwd} %c #1 {a} ^2 _3 \\ end.",
    "controls": "No \x00 effusion\x07\x1b[31m red\x1b[0m \x08\x7f\x85 seen\r\nhere\u2028there.",
    "turned": "No \u202enoisuffe\u202c and \u2066x\u2069 \u202dy\u202c \ufeff\U000e0041\U000e0042 end.",
    "surrogate": "Half \ud83d a sign.",
    "formula": '=HYPERLINK("http://h","x")\n@SUM(A1)\n+1\n-1.',
}
ACTIVE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)
SENTENCES = re.compile("(?<=[.。।]) ")
SHAPED = re.compile("[\u0590-\u08ff\u0900-\u0dff]")
ALLOWED = {"div", "p", "b", "br", "h3", "ul", "li", "table", "tr", "th", "td"}


@pytest.fixture
def reply(test_cases: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """The reply of a situation of the scripted server."""
    monkeypatch.setattr(sys, "argv", ["server.py"])
    spec = importlib.util.spec_from_file_location("scripted_replies", test_cases / "generators" / "server.py")
    assert spec is not None
    assert spec.loader is not None
    server: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(server)

    class Connection:
        sent = b""

        def sendall(self, data: bytes) -> None:
            self.sent += data

    def reply_of(situation: str) -> str:
        connection = Connection()
        server.S[situation](connection, {"messages": [{"role": "user", "content": "x"}]}, 1)
        _, _, body = connection.sent.partition(b"\r\n\r\n")
        events = re.findall(r"^data: (\{.*\})$", body.decode(), re.MULTILINE)
        choices = [choice for event in events for choice in json.loads(event)["choices"]]
        return "".join(choice["delta"].get("content") or "" for choice in choices)

    return reply_of


@pytest.mark.long(every=9)
@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("accepted", [False, True])
def test_hostile_text_is_text(name: str, format: Any, accepted: bool, tmp_path: Path) -> None:
    made = draft((TEXTS[name],), *(("accepted", (ACCEPTED,)) if accepted else ()))
    judge(made, format, tmp_path)


@pytest.mark.long(every=6)
@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("format", FORMATS)
def test_replies_of_hostile_servers_are_text(
    situation: str, format: Any, reply: Callable[[str], str], tmp_path: Path
) -> None:
    made = draft((reply(situation),))
    assert made.text
    if format in ("pdf", "dicom-pdf"):
        needs_font(made.text)
    judge(made, format, tmp_path)


def judge(made: Draft, format: Any, folder: Path) -> None:
    """The whole text is there as text, and nothing in the file is active."""
    content = export(made, format, FACTS, Pictures())
    text = read_back(content, format)
    assert not ACTIVE.search(text.replace("\x0c", ""))
    whole = shown(made.text)
    # Poppler gives letters that are joined or run from the right in another order; test_fonts has them.
    pieces = [one for one in SENTENCES.split(whole) if not SHAPED.search(one)] if "pdf" in format else [whole]
    assert pieces
    assert all(squeezed(piece) in squeezed(text) for piece in pieces)
    if format == "markdown":
        # read_back has refused links, pictures, code and HTML; bare addresses are links on GitHub.
        assert not re.search(r"(?<!\\)(?:://|@)|www\.[a-z]", content.content.decode())
    elif format == "html":
        assert "<script" not in content.content.decode().lower()  # read_back has refused what acts or loads
    elif format == "fhir":
        judge_fhir(json.loads(content.content), made)
    else:
        pdf = content.content
        if format != "pdf":
            (folder / "export.dcm").write_bytes(pdf)
            assert [line for line in dciodvfy(folder / "export.dcm") if line.startswith("Error")] == []
        if format == "dicom-pdf":
            pdf = embedded_pdf(pydicom.dcmread(io.BytesIO(pdf)))
        if format != "dicom-sr":
            assert not re.search(rb"/(?:URI|JS|JavaScript|Launch|Annots|GoToR|EmbeddedFile)\b", pdf)
            assert TaggedPdf(pdf).problems == []


def judge_fhir(report: dict[str, Any], made: Draft) -> None:
    root = ElementTree.fromstring(report["text"]["div"])
    tags = [element.tag.removeprefix("{http://www.w3.org/1999/xhtml}") for element in root.iter()]
    assert set(tags) <= ALLOWED
    assert not any(element.attrib for element in root.iter())
    assert squeezed(shown(made.text)) in squeezed("".join(root.itertext()))

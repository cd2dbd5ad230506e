"""What services answer to instances that are sent to them, and what became of each."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.dicomweb import DicomwebClient
from medsiglip.ingest.pacs.records import StoreOutcome
from medsiglip.ingest.pacs.web import stow
from tests.ingest.pacs.instances import instance
from tests.ingest.pacs.scripted_service import Request, connection, service

SOP = "1.2.3.4.1"


def sequence(*items: dict[str, Any]) -> dict[str, Any]:
    return {"vr": "SQ", "Value": list(items)}


def item(uid: str = SOP, failure: Any = None, warning: Any = None) -> dict[str, Any]:
    made: dict[str, Any] = {"00081155": {"vr": "UI", "Value": [uid]}}
    if failure is not None:
        made["00081197"] = {"vr": "US", "Value": [failure]}
    if warning is not None:
        made["00081196"] = {"vr": "US", "Value": [warning]}
    return made


def stored(script: Callable[[Request], None], folder: Path) -> StoreOutcome:
    file = folder / "one.dcm"
    file.write_bytes(instance("1.2.3", 1))
    with service(script) as url, DicomwebClient(connection(url)) as client:
        (outcome,) = client.store([file])
    assert (outcome.file, outcome.sop_instance_uid) == (file, SOP)
    return outcome


@pytest.mark.parametrize(
    ("status", "answer", "outcome", "may_pass"),
    [
        (200, {"00081199": sequence(item())}, 0, False),
        (200, [{"00081199": sequence(item())}], 0, False),
        (202, {"00081199": sequence(item(warning=0xB007))}, 0xB007, False),
        (202, {"00081199": sequence(item(warning=7))}, 0, False),
        (409, {"00081198": sequence(item(failure=0xA700))}, 0xA700, True),
        (409, {"00081198": sequence(item(failure=0xA900))}, 0xA900, False),
        (409, {"00081198": sequence(item(failure=0x0122))}, 0x0122, False),
        (409, {"00081198": sequence(item(failure="odd"))}, 0x0110, False),
        (409, {"00081198": sequence({})}, 0x0110, False),
        (200, {"00081198": sequence(item(failure=0x0110))}, 0x0110, False),
        (200, {"0008119A": sequence({"00081197": {"Value": [0xC000]}})}, 0x0110, False),
        (200, {}, 0, False),
        (200, {"00081199": sequence(item("1.2.9"))}, 0, False),
        (202, {"00081199": sequence(item("1.2.9"))}, 0x0110, True),
        (202, {}, 0x0110, True),
        (400, {}, 0x0110, False),
        (415, [], 0x0110, False),
        (413, {}, 0xA700, False),
        (507, {}, 0xA700, False),
        (500, {}, 0x0110, True),
    ],
)
def test_answers(status: int, answer: Any, outcome: int, may_pass: bool, tmp_path: Path) -> None:
    found = stored(lambda request: request.give_json(answer, status), tmp_path)
    assert (found.status, found.may_pass) == (outcome, may_pass)
    assert found.is_stored == (outcome in (0, 0xB007))


@pytest.mark.parametrize(
    ("body", "status", "is_stored"), [(b"", 200, True), (b"<xml/>", 200, True), (b"", 409, False)]
)
def test_answers_in_other_forms(body: bytes, status: int, is_stored: bool, tmp_path: Path) -> None:
    assert stored(lambda request: request.give(status, body), tmp_path).is_stored == is_stored


def test_files_are_sent_as_they_are(tmp_path: Path) -> None:
    sent: list[bytes] = []

    def script(request: Request) -> None:
        kind = request.headers["Content-Type"]
        message = email.message_from_bytes(
            f"Content-Type: {kind}\r\n\r\n".encode() + request.body, policy=email.policy.HTTP
        )
        (part,) = message.iter_parts()
        assert part.get_content_type() == "application/dicom"
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        sent.append(content)
        request.give_json({}, 200)

    files = [tmp_path / f"{number}.dcm" for number in range(3)]
    for number, file in enumerate(files):
        file.write_bytes(instance("1.2.3", number) + b"\r\n--\r\n" * number)
    spent: list[int] = []
    with service(script) as url, DicomwebClient(connection(url), spent.append) as client:
        assert all(one.is_stored for one in client.store(files))
    assert sent == [file.read_bytes() for file in files]
    assert sum(spent) == 3


def test_a_busy_service_is_left_alone(tmp_path: Path) -> None:
    asked: list[str] = []

    def script(request: Request) -> None:
        asked.append(request.path)
        request.give(503, Retry_After="5")

    with pytest.raises(PacsError) as refused:
        stored(script, tmp_path)
    assert (refused.value.may_pass, refused.value.retry_after) == (True, 5)
    assert len(asked) == 1


def test_a_new_token_is_shown_with_the_whole_body(tmp_path: Path) -> None:
    token, file = tmp_path / "token", tmp_path / "one.dcm"
    token.write_text("one")
    file.write_bytes(instance("1.2.3", 1))
    sizes: list[int] = []

    def script(request: Request) -> None:
        sizes.append(len(request.body))
        token.write_text("two")
        if request.headers["Authorization"] == "Bearer two":
            request.give_json({})
        else:
            request.give(401)

    with service(script) as url, DicomwebClient(connection(url, token_file=token)) as client:
        assert [one.is_stored for one in client.store([file])] == [True]
    assert sizes[0] == sizes[1] > len(instance("1.2.3", 1))


def test_a_file_that_changes_while_it_is_sent_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / f"{number}.dcm" for number in range(3)]
    for number, file in enumerate(files):
        file.write_bytes(instance("1.2.3", number, PatientComments="x" * 9000))
    read_start = stow.InstanceBody.pieces

    def shortened(body: stow.InstanceBody) -> Iterator[bytes]:
        if body.file == files[1]:
            files[1].write_bytes(files[1].read_bytes()[:-50])
        return read_start(body)

    monkeypatch.setattr(stow.InstanceBody, "pieces", shortened)
    with service(lambda request: request.give_json({})) as url, DicomwebClient(connection(url)) as client:
        assert [one.is_stored for one in client.store(files)] == [True, False, True]

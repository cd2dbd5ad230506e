"""Instances in parts, wherever the pieces of a body are cut."""

from __future__ import annotations

import email
import email.policy
import random
import tracemalloc
from pathlib import Path

import pytest

from medsiglip.ingest.pacs.web.related_parts import RelatedParts, UnreadablePartsError
from tests.ingest.pacs.instances import instance


def whole_body(parts: list[bytes], boundary: bytes) -> bytes:
    head = b"--" + boundary + b"\r\nContent-Type: application/dicom\r\nContent-Length: 7\r\n\r\n"
    return b"\r\n".join(head + part for part in parts) + b"\r\n--" + boundary + b"--"


@pytest.mark.parametrize("seed", range(60))
def test_bodies_in_pieces(seed: int, tmp_path: Path) -> None:
    chosen = random.Random(seed)
    boundary = b"b" * chosen.randint(1, 3)
    # Data that look like the beginning of a boundary, or like the end of a line before one.
    words = [b"\r", b"\n", b"\r\n", b"\r\n--", b"\r\n-", b"--", boundary[:-1], b"x", b"\0" * 50]
    parts = []
    for number in range(chosen.randint(1, 4)):
        tail = b"".join(chosen.choice(words) for _ in range(chosen.randint(0, 30)))
        parts.append(instance("1.2.3", number) + tail.replace(b"\r\n--" + boundary, b""))
    body = chosen.choice([b"", b"\r\n", b"a preamble\r\n"]) + whole_body(parts, boundary)
    body += chosen.choice([b"", b"\r\n", b"\r\nan epilogue"])
    taken = RelatedParts(boundary, tmp_path)
    files = []
    place = 0
    while place < len(body):
        size = chosen.choice([1, 2, 3, 7, 100, 1000])
        files += taken.feed(body[place : place + size])
        place += size
    taken.close()
    assert taken.has_ended
    assert [file.read_bytes() for file in files] == parts
    assert sorted(tmp_path.iterdir()) == sorted(files)
    # Python's own reader of mail, which is given the same with the header that goes before it.
    kind = f"Content-Type: multipart/related; boundary={boundary.decode()}\r\n\r\n".encode()
    message = email.message_from_bytes(kind + body, policy=email.policy.HTTP)
    assert len(message.get_payload()) == len(parts)


@pytest.mark.parametrize("seed", range(20))
def test_bodies_that_are_cut(seed: int, tmp_path: Path) -> None:
    chosen = random.Random(seed)
    parts = [instance("1.2.3", number) for number in range(3)]
    body = whole_body(parts, b"b")[:-4]
    cut = chosen.randrange(len(body))
    taken = RelatedParts(b"b", tmp_path)
    files = taken.feed(body[:cut])
    taken.close()
    assert not taken.has_ended
    assert [file.read_bytes() for file in files] == parts[: len(files)]
    assert sorted(tmp_path.iterdir()) == sorted(files)


def test_large_instances_take_little_memory(tmp_path: Path) -> None:
    piece = b"\0" * (1 << 16)
    tracemalloc.start()
    taken = RelatedParts(b"b", tmp_path)
    taken.feed(b"--b\r\n\r\n" + b"\0" * 128 + b"DICM")
    for _ in range(500):
        taken.feed(piece)
    (file,) = taken.feed(b"\r\n--b--")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert file.stat().st_size == 132 + 500 * len(piece)
    assert peak < 4 << 20


def test_bodies_without_an_end_of_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medsiglip.ingest.pacs.web.related_parts.MOST_PARTS", 100)
    taken = RelatedParts(b"b", tmp_path)
    with pytest.raises(UnreadablePartsError, match="more than 100 parts"):
        taken.feed(b"--b\r\n\r\n\r\n" * 200)
    monkeypatch.setattr("medsiglip.ingest.pacs.web.related_parts.LARGEST_INSTANCE", 1000)
    taken = RelatedParts(b"b", tmp_path)
    with pytest.raises(UnreadablePartsError, match="an instance has more"):
        taken.feed(b"--b\r\n\r\n" + instance("1.2.3", 1) + b"\0" * 1000)
    taken.close()
    assert list(tmp_path.iterdir()) == []

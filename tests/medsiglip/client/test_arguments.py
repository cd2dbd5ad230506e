"""What the client does with arguments: where its requests go, and what it refuses before it sends any."""

from __future__ import annotations

import inspect
import json
import operator
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import numpy as np
import pytest
from fastapi.routing import APIRoute

from medsiglip.answers.jobs import Job
from medsiglip.answers.pacs import PacsFields
from medsiglip.answers.search_fields import SearchFields
from medsiglip.api.http.app import create_app
from medsiglip.api.settings import Settings
from medsiglip.client.client import ApiError, Client
from medsiglip.names import is_key_name, is_name, why_not
from tests.medsiglip.client.calls import CALLS, JOB, OTHERS

HOSTILE = (
    "x/../../studies/1.2.840.1",
    "..",
    ".",
    "%2e%2e",
    "%2e%2e%2fstudies%2f1.2.3",
    "a/b",
    "/",
    "//evil.example/x",
    "\\..\\..\\studies",
    "a?b=c",
    "a#b",
    "a;b",
    "a b",
    "",
    "a\r\nX-Evil: 1",
    "a\0b",
    "\ud800",
    "e\u0301\u202e",
    "\uff0e\uff0e",
    "\u017fcan",
    "x" * 5000,
    "http://evil.example/",
    "@evil.example",
)


class Recorded:
    """The requests of a client, none of which any server gets."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        return httpx.Response(404, json={"code": "unknown", "detail": "nothing is here"})

    @property
    def last(self) -> httpx.Request:
        return self.requests[-1]


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture
def client(recorded: Recorded) -> Iterator[Client]:
    with Client("http://service", retries=0, transport=httpx.MockTransport(recorded)) as made:
        yield made


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """Method and path of every route of the service."""
    app = create_app(Settings(home=tmp_path_factory.mktemp("templates")))
    return [
        (method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods
    ] + [(m, r.path) for r in app.routes if isinstance(r, APIRoute) for m in r.methods or ()]


def routes_of(request: httpx.Request, templates: list[tuple[str, str]]) -> set[str]:
    """The routes that a path leads to: as it is sent, as servers decode it, and with its dots resolved, as
    proxies do.
    """
    raw = request.url.raw_path.split(b"?")[0].decode("ascii")
    resolved = httpx.URL("http://service").join(unquote(raw).replace("\\", "/") or "/").path
    found = set()
    for path in (raw, unquote(raw), resolved):
        for method, template in templates:
            pattern = re.sub(r"\{[^{}]*\}", "[^/]+", template)
            if method == request.method and re.fullmatch(pattern, path):
                found.add(f"{method} {template}")
    return found


def call(client: Client, method: str, arguments: dict[str, Any], file: Path) -> None:
    """Call a method, and read what it yields."""
    given = {name: filled(value, file) for name, value in arguments.items()}
    positional = [file] if method == "upload" else []
    result = getattr(client, method)(*positional, **given)
    if method == "events":
        next(result)


def filled(value: Any, file: Path) -> Any:
    if isinstance(value, list):
        return [filled(one, file) for one in value]
    return str(file) if value == "FILE" else value


def public_methods() -> dict[str, Callable[..., Any]]:
    return {
        name: method
        for name, method in inspect.getmembers(Client, inspect.isfunction)
        if not name.startswith("_") and name != "close"
    }


def variants() -> Iterator[tuple[str, dict[str, Any], str]]:
    for method, (arguments, route) in CALLS.items():
        for given in [arguments, *OTHERS.get(method, [])]:
            yield method, given, route


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "a.png").write_bytes(b"picture")
    return tmp_path / "a.png"


def test_every_method_and_argument_is_in_the_table() -> None:
    assert public_methods().keys() == CALLS.keys()
    for name, method in public_methods().items():
        known = {one for which, given, _ in variants() if which == name for one in given}
        parameters = set(inspect.signature(method).parameters) - {"self", "options", "files", "on_progress"}
        if "more" in parameters:
            parameters = parameters - {"more"} | SearchFields.__annotations__.keys()
        if "question" in parameters:
            parameters = parameters - {"question"} | PacsFields.__annotations__.keys()
        assert parameters <= known | {"k", "include_same_patient", "revision"}, name


@pytest.mark.parametrize("method", list(CALLS))
def test_each_method_reaches_its_route(
    client: Client, recorded: Recorded, templates: list[tuple[str, str]], method: str, file: Path
) -> None:
    for which, arguments, route in variants():
        if which == method:
            with suppress(ApiError):
                call(client, method, arguments, file)
            assert routes_of(recorded.last, templates) == {route}


@pytest.mark.parametrize("method", list(CALLS))
def test_hostile_strings_reach_no_other_route(
    client: Client, recorded: Recorded, templates: list[tuple[str, str]], method: str, file: Path
) -> None:
    """In every argument that is a string or has strings: the request goes where it should, or nowhere."""
    for which, arguments, route in variants():
        if which != method:
            continue
        for name, value in arguments.items():
            for text in HOSTILE:
                hostile: Any = text
                if isinstance(value, list):
                    hostile = [text]
                elif isinstance(value, Job):
                    hostile = JOB.model_copy(update={"id": text})
                elif isinstance(value, dict):
                    hostile = {text: text}
                with suppress(ApiError, TypeError, ValueError, OSError):
                    call(client, method, {**arguments, name: hostile}, file)
                for request in recorded.requests:
                    assert routes_of(request, templates) == {route}, (name, text, request.url)
                    assert request.url.host == "service"
                    assert "x-evil" not in request.headers
                recorded.requests.clear()


@pytest.mark.parametrize(
    "call_it",
    [
        lambda client, name: client.delete_probe(name),
        lambda client, name: client.probe(name),
        lambda client, name: client.predict(name, study="1.2"),
        lambda client, name: client.train_probe(name, labels=["a"]),
        lambda client, name: client.put_route(name, {}),
        lambda client, name: client.draft("1.2", route=name),
        lambda client, name: client.classify(study="1.2", probe=name),
        lambda client, name: client.classify(study="1.2", prompts=name),
    ],
)
def test_a_name_that_the_service_would_refuse_is_not_sent(
    client: Client, recorded: Recorded, call_it: Callable[[Client, str], Any]
) -> None:
    for name in ("x/../../studies/1.2", "..", "", ".hidden", "a b", "K\u212a", "x" * 65, "a\n"):
        with pytest.raises(ApiError) as refused:
            call_it(client, name)
        assert (refused.value.code, refused.value.status) == ("bad-request", 0)
    assert recorded.requests == []
    for name in ("a", "A.b_c-9", "x" * 64, "9"):
        with pytest.raises(ApiError) as unknown:
            call_it(client, name)
        assert unknown.value.status == 404
    assert len(recorded.requests) == 4


def test_rules_of_names() -> None:
    assert is_name("chest-xray")
    assert not any(map(is_name, ("", "-a", "a/b", "a\n", "\u017f", "..", "a" * 65)))
    assert why_not("uid", "1.2.840") is None
    assert all(why_not("uid", text) for text in ("", ".", "..", "...", "1/2", "1.2\n", "1" * 65))
    assert why_not("uid", "..1") is None
    assert why_not("patient_key", "ab12") is None
    assert why_not("patient_key", "a-b")
    assert is_key_name("workstation 3")
    assert not any(map(is_key_name, ("", "  ", "a\n", "a" * 101)))


CONTRADICTIONS: list[Callable[[Client, Path], Any]] = [
    lambda client, file: client.search(text="a", image=file),
    lambda client, file: client.search(text="a", study="1.2"),
    lambda client, file: client.search(image=file, image_id=3),
    lambda client, file: client.search(study="1.2", image_id=0),
    lambda client, file: client.search(),
    lambda client, file: client.search(text="a", vector=[1.0]),
    lambda client, file: client.search(negative=[3]),
    lambda client, file: client.search_many([{"text": "a"}, {"text": "a", "image_ids": [3]}]),
    lambda client, file: client.classify(file, study="1.2", labels=["a"]),
    lambda client, file: client.classify(labels=["a"]),
    lambda client, file: client.why(file, study="1.2", text="a"),
    lambda client, file: client.why(file, text="a", like=file),
    lambda client, file: client.why(image_id=3, like=file),
    lambda client, file: client.predict("p", file, study="1.2"),
    lambda client, file: client.predict("p"),
    lambda client, file: client.train_probe("p", labels=["a"], labels_csv=file),
    lambda client, file: client.train_probe("p"),
    lambda client, file: client.upload(),
    lambda client, file: client.classify_files([], labels=["a"]),
]
STRINGS: list[Callable[[Client, Path], Any]] = [
    lambda client, file: client.embed_texts("abc"),
    lambda client, file: client.embed_images(str(file)),
    lambda client, file: client.embed_images(file),  # type: ignore[arg-type]
    lambda client, file: client.search(text="a", where="modality=CT"),
    lambda client, file: client.search(studies="1.2"),
    lambda client, file: client.search(images=file),  # type: ignore[arg-type]
    lambda client, file: client.search(positive="1.2"),
    lambda client, file: client.studies("modality=CT"),
    lambda client, file: client.train_probe("p", labels="abc"),
    lambda client, file: client.accept("0" * 32, acknowledge="omitted:nodule"),
    lambda client, file: client.train_probe("p", labels=["a"], where="modality=CT"),
    lambda client, file: client.classify(file, labels="abc"),
    lambda client, file: client.classify(study="1.2", labels="abc"),
    lambda client, file: client.classify_files(file, labels=["a"]),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("call_it", [*CONTRADICTIONS, *STRINGS])
def test_contradictions_and_one_string_for_several_are_refused(
    client: Client, recorded: Recorded, call_it: Callable[[Client, Path], Any], file: Path
) -> None:
    with pytest.raises(TypeError, match=r"give (exactly one|at least one)|takes a list, not one"):
        call_it(client, file)
    assert recorded.requests == []


class Five:
    """An integer of some other library."""

    def __index__(self) -> int:
        return 5


@pytest.mark.parametrize("five", [np.int64(5), np.uint8(5), Five(), True], ids=lambda one: type(one).__name__)
def test_integers_of_other_libraries_are_integers(client: Client, recorded: Recorded, five: Any) -> None:
    number = operator.index(five)

    def sent(ask: Callable[[], Any]) -> httpx.Request:
        with pytest.raises(ApiError):
            ask()
        return recorded.last

    assert json.loads(sent(lambda: client.search(text="a", k=five)).content)["k"] == number
    assert json.loads(sent(lambda: client.search(image_id=five)).content)["image_id"] == number
    accepted = sent(lambda: client.accept("0" * 32, revision=five))
    assert json.loads(accepted.content)["revision"] == number
    assert sent(lambda: client.preview(five)).url.path == f"/v1/images/{number}/preview"
    rule = {
        "limit": five,
        "scores": [{"at_least": np.float32(0.5), "on": np.bool_(True), "of": np.array([1, 2])}],
    }
    assert json.loads(sent(lambda: client.put_route("r", rule)).content) == {
        "limit": number,
        "scores": [{"at_least": 0.5, "on": True, "of": [1, 2]}],
    }


def test_what_has_no_form_in_json_is_refused(client: Client, recorded: Recorded) -> None:
    for value in (object(), {1, 2}, float("nan")):
        with pytest.raises((TypeError, ValueError)):
            client.put_route("r", {"x": value})
    assert recorded.requests == []


def test_of_an_integer_only_an_integer_is_taken(client: Client, recorded: Recorded) -> None:
    for image_id in ("1/../../studies/1.2", 1.5, None):
        with pytest.raises(TypeError):
            client.preview(image_id)  # type: ignore[arg-type]
    assert recorded.requests == []


def test_labels_of_files_are_fields_of_their_own(client: Client, recorded: Recorded, file: Path) -> None:
    with pytest.raises(ApiError):
        client.classify(file, labels=["nodule, spiculated", "normal chest"])
    body = recorded.last.content
    fields = re.findall(rb'name="label"\r\n\r\n([^\r]*)\r\n', body)
    assert fields == [b"nodule, spiculated", b"normal chest"]
    assert b'name="labels"' not in body

"""Every question is the same at each door: in Python, over HTTP as JSON and as a form, by the client and on
the command line.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from medsiglip.answers.questions import SearchAnswer
from medsiglip.answers.search_fields import SearchFields
from medsiglip.api.archive.archive import Archive
from medsiglip.client.client import ApiError, Client
from tests.api.conftest import Phantoms, run
from tests.api.live_service import LiveService


@dataclass(frozen=True)
class Named:
    """What questions name: images by id, each of another patient, their files, and studies."""

    ids: list[int]
    files: list[str]
    studies: list[str]
    vector: list[float]


@pytest.fixture(scope="module")
def archive(service: LiveService) -> Iterator[Archive]:
    with Archive(service.home) as opened:
        yield opened


@pytest.fixture(scope="module")
def named(archive: Archive, phantoms: Phantoms) -> Named:
    studies = [uid for uid in phantoms.by_study if archive.index.studies([f"study_instance_uid={uid}"])]
    images = [archive.index.images_of(uid)[0] for uid in studies[:6]]
    vector = archive.index.vectors([images[0].image_id])[0].tolist()
    archive.index.report_texts.put({studies[3]: "A melanoma of the forearm."}, "import")
    return Named([one.image_id for one in images], [str(one.path) for one in images], studies, vector)


# Arguments of `Archive.search`, each as a function of what there is.
QUESTIONS: dict[str, Callable[[Named], dict[str, Any]]] = {
    "text": lambda n: {"text": "a mole", "level": "series", "where": ["modality=XC"]},
    "stored image": lambda n: {"image_id": n.ids[0], "include_same_patient": True},
    "study": lambda n: {"study": n.studies[0]},
    "means": lambda n: {"study": n.studies[0], "compare": "means"},
    "image ids": lambda n: {"image_ids": n.ids[:3]},
    "studies": lambda n: {"studies": n.studies[:2], "level": "image"},
    "file": lambda n: {"image": n.files[0], "level": "study"},
    "files": lambda n: {"images": n.files[:3], "explain": True},
    "vector": lambda n: {"vector": n.vector, "min_score": 0.2},
    "weights": lambda n: {"text": "a mole", "image_id": n.ids[0], "weights": {"text": 0.25, "image": 0.75}},
    "weighted file": lambda n: {
        "text": "a mole",
        "image": n.files[0],
        "weights": {"text": 0.25, "image": 0.75},
        "per_study": 1,
    },
    "examples": lambda n: {
        "image_id": n.ids[0],
        "positive": [n.ids[1], n.studies[2]],
        "negative": [n.ids[3], n.studies[4]],
        "weights": {"query": 1.0, "positive": 0.5, "negative": 0.25},
    },
    "examples alone": lambda n: {"positive": [n.ids[1]]},
    "file with examples": lambda n: {"image": n.files[0], "positive": [n.studies[1]], "negative": [n.ids[2]]},
    "region of a file": lambda n: {"image": n.files[0], "crop": [0.25, 0.1, 0.75, 0.6]},
    "region of a stored image": lambda n: {"image_id": n.ids[0], "crop": [0.25, 0.1, 0.75, 0.6]},
    "words": lambda n: {"words": "melanoma"},
    "words and an image": lambda n: {"image_id": n.ids[0], "words": "melanoma", "level": "study"},
    "approximate": lambda n: {"text": "a mole", "exact": False},
    "one a patient": lambda n: {"text": "a mole", "per_patient": 1},
    "one a series": lambda n: {"text": "a mole", "per_series": 1},
    "two a label": lambda n: {"text": "a mole", "per_label": 2},
    "without duplicates": lambda n: {"text": "a mole", "dedupe": 0.9},
    "diverse": lambda n: {"text": "a mole", "diversity": 0.5},
}
_FILES = ("image", "images")


def assert_same(found: dict[str, Any], expected: SearchAnswer) -> None:
    """Assert that two answers are equal but for rounding, paths and times."""
    other = expected.to_json()
    assert found.keys() == other.keys()
    assert (found["level"], found["how"]) == (other["level"], other["how"])
    assert (found["cursor"] is None) == (other["cursor"] is None)
    assert [(hit["image_id"], hit["rank"]) for hit in found["hits"]] == [
        (hit["image_id"], hit["rank"]) for hit in other["hits"]
    ]
    assert len(found["hits"]) > 0
    for hit, same in zip(found["hits"], other["hits"], strict=True):
        assert hit["score"] == pytest.approx(same["score"], abs=1e-5)
        assert hit.keys() - {"path"} == same.keys() - {"path"}
        for name in ("collapsed", "found_by"):
            assert hit.get(name) == same.get(name)
        if "pairs" in same:
            assert [(one["query"], one["image_id"]) for one in hit["pairs"]] == [
                (one["query"], one["image_id"]) for one in same["pairs"]
            ]


def json_body(question: dict[str, Any]) -> dict[str, Any]:
    names = {"study": "study_instance_uid", "studies": "study_instance_uids"}
    return {names.get(name, name): value for name, value in question.items() if name not in _FILES}


def form_fields(body: dict[str, Any]) -> dict[str, Any]:
    """As `curl -F` sends them."""
    fields: dict[str, Any] = {}
    for name, value in body.items():
        if name == "weights":
            fields[name] = [f"{kind}={number}" for kind, number in value.items()]
        elif name == "crop":
            fields[name] = ",".join(map(str, value))
        elif name == "vector":
            fields[name] = b64encode(np.array(value, "<f4").tobytes()).decode()
        elif isinstance(value, list):
            fields[name] = [str(one) for one in value]
        else:
            fields[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return fields


def parts(fields: dict[str, Any]) -> list[tuple[str, Any]]:
    """The fields as parts of a form without files."""
    pairs = [
        (name, one)
        for name, value in fields.items()
        for one in (value if isinstance(value, list) else [value])
    ]
    return [(name, (None, one)) for name, one in pairs]


def words_of(question: dict[str, Any]) -> list[str]:
    """The question on the command line."""
    words = []
    for name, value in question.items():
        option = {"images": "image", "image_ids": "image-id", "studies": "study", "weights": "weight"}.get(
            name, name
        )
        option = f"--{option.replace('_', '-')}"
        if name == "exact":
            words += [] if value else ["--approximate"]
        elif value is True:
            words.append(option)
        elif name == "weights":
            words += [part for kind, number in value.items() for part in (option, f"{kind}={number}")]
        elif name == "crop":
            words += [option, ",".join(map(str, value))]
        elif name == "vector":
            words += [option, json.dumps(value)]
        elif isinstance(value, list):
            words += [part for one in value for part in (option, str(one))]
        else:
            words += [option, str(value)]
    return words


@pytest.mark.long(every=4)
@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_the_same_at_every_door(
    service: LiveService, archive: Archive, named: Named, name: str
) -> None:
    question = {**QUESTIONS[name](named), "k": 4}
    expected = archive.search(**question)
    with service.client("read") as client:
        assert_same(client.search(**question).to_json(), expected)
    body = json_body(question)
    files = [Path(one) for one in [*question.get("images", []), question.get("image")] if one is not None]
    sent = [("file", (one.name, one.read_bytes())) for one in files]
    with service.http("read") as http:
        if not files:
            assert_same(http.post("/v1/search", json=body).raise_for_status().json(), expected)
        form = http.post("/v1/search", files=[*parts(form_fields(body)), *sent])
        assert_same(form.raise_for_status().json(), expected)
    words = [*words_of(question), "-k", "4"] if "k" not in question else words_of(question)
    assert_same(run("--home", service.home, "--json", "search", *words).json, expected)


def test_every_argument_is_asked_at_every_door(named: Named) -> None:
    asked = {name for make in QUESTIONS.values() for name in make(named)}
    assert SearchFields.__annotations__.keys() <= asked | {"cursor"}


@pytest.mark.parametrize(
    "way", [{"text": "a mole"}, {"text": "a mole", "diversity": 0.3, "per_patient": 2}, {"study": ""}]
)
def test_pages_by_the_client_a_form_and_the_command_line(
    service: LiveService, archive: Archive, named: Named, tmp_path: Path, way: dict[str, Any]
) -> None:
    way = {name: value or named.studies[0] for name, value in way.items()}
    whole = archive.search(**way, k=9)
    with service.client("read") as client, service.http("read") as http:
        first = client.search(**way, k=2)
        second = client.search(**way, k=2, cursor=first.cursor)
        fields = {**form_fields(json_body(way)), "k": "2", "cursor": second.cursor}
        third = http.post("/v1/search", files=parts(fields)).raise_for_status().json()
        (tmp_path / "cursor").write_text(third["cursor"])
        last = run(
            *("--home", service.home, "--json", "search", *words_of(way)),
            *("-k", 3, "--cursor", f"@{tmp_path / 'cursor'}"),
        ).json
        hits = [hit.image_id for page in (first, second) for hit in page.hits]
        hits += [hit["image_id"] for page in (third, last) for hit in page["hits"]]
        assert hits == [hit.image_id for hit in whole.hits]
        with pytest.raises(ApiError) as refused:
            client.search(text="another", cursor=first.cursor)
        assert (refused.value.code, refused.value.status) == ("bad-cursor", 422)
        with pytest.raises(ApiError) as refused:
            client.search(text="another", cursor="a.b")
        assert (refused.value.code, refused.value.status) == ("bad-request", 422)
    failed = run("--home", service.home, "--json", "search", "--text", "a", "--cursor", "abc")
    assert (failed.code, failed.error["code"]) == (1, "bad-cursor")


def test_several_questions_at_once(
    service: LiveService, archive: Archive, named: Named, tmp_path: Path
) -> None:
    questions: list[dict[str, Any]] = [
        {"text": "a mole", "k": 3, "explain": True},
        {"text": "a chest X-ray", "k": 3, "explain": True},
        {"study": named.studies[0], "k": 2},
        {"image_id": 10**9},
        {"text": "a mole", "image_id": named.ids[0]},
    ]
    expected = [None if number > 2 else archive.search(**one) for number, one in enumerate(questions)]
    bodies = [json_body(one) for one in questions]
    file = tmp_path / "questions.jsonl"
    file.write_text("\n".join(map(json.dumps, bodies)) + "\n\n")
    with service.client("read") as client, service.http("read") as http:
        answers = [
            http.post("/v1/search", json={"queries": bodies}).raise_for_status().json(),
            run("--home", service.home, "--json", "search", "--queries", file).json,
        ]
        many = client.search_many([questions[0], questions[2], questions[3]])
        assert [one.error is None for one in many.results] == [True, True, False]
        refused = [
            http.post("/v1/search", json={"queries": bodies, "k": 3}),
            http.post("/v1/search", json={"queries": []}),
            http.post("/v1/search", json={"queries": [{"text": "a"}] * 65}),
            http.post("/v1/search", json={"queries": [{"queries": bodies}]}),
            http.post("/v1/search", json={"queries": [{"text": "a", "k": 1000}] * 11}),
        ]
        events = http.get("/v1/audit", params={"limit": 1})
    assert [(one.status_code, one.json()["code"]) for one in refused] == [
        (422, "one-of"),
        *[(422, "bad-request")] * 3,
        (422, "too-many-queries"),
    ]
    assert events.status_code in (200, 403)
    for answer in answers:
        results = answer["results"]
        assert [one.get("error", {}).get("code") for one in results[3:]] == ["unknown-image", "one-of"]
        for found, one in zip(results, expected, strict=True):
            if one is not None:
                assert_same(found, one)
        assert results[0]["why_found"]["together"] == 2
    shown = run("--home", service.home, "search", "--queries", file)
    assert "question 5" in shown.out
    assert "(unknown-image)" in shown.out
    file.write_text('{"text": "a"}\n{"txt": "b"}')
    failed = run("--home", service.home, "--json", "search", "--queries", file)
    assert failed.error["code"] == "bad-question"
    assert "line 2" in failed.error["message"]


@pytest.mark.parametrize(
    "fields",
    [
        {"weights": {"text": 0.0}},
        {"weights": {"txt": 1.0}},
        {"weights": "text=1"},
        {"vector": []},
        {"vector": [1, "a"]},
        {"crop": [0, 0, 1]},
        {"crop": "0,0,1,1"},
        {"min_score": 2},
        {"per_patient": 0},
        {"per_label": 1001},
        {"dedupe": 1.1},
        {"diversity": -1},
        {"compare": "sums"},
        {"exact": "no"},
        {"image_ids": [0]},
        {"study_instance_uids": ["a/b"]},
        {"positive": [0]},
        {"negative": ["a b"]},
        {"cursor": ""},
        {"words": ""},
        {"explain": 1},
    ],
)
def test_fields_out_of_bounds_are_refused(service: LiveService, fields: dict[str, Any]) -> None:
    with service.http("read") as http:
        refused = http.post("/v1/search", json={"text": "a", **fields})
        assert (refused.status_code, refused.json()["code"]) == (422, "bad-request")
        assert next(iter(fields)) in refused.json()["detail"]


def test_the_audit_trail_names_every_study_that_an_answer_shows(
    service: LiveService, archive: Archive, named: Named
) -> None:
    collapsed = {"text": "a mole", "k": 2, "dedupe": 0.2}
    example = {"image_ids": named.ids[:2], "negative": [named.studies[4]], "k": 1}
    with service.http("read") as http:
        for body in (collapsed, example, {"queries": [{"text": "a", "k": 1}, collapsed, example]}):
            answer = http.post("/v1/search", json=body).raise_for_status()
            events = archive.index.audit.events()
            [event] = [one for one in events if one.event.request_id == answer.headers["x-request-id"]]
            shown = set(re.findall(r'"study_instance_uid":"([0-9.]+)"', answer.text))
            assert len(shown) > 2
            assert set(event.event.studies) == shown


def test_a_vector_of_endless_digits_is_refused(service: LiveService) -> None:
    bad = {"vector": f"[1{'0' * 400}]"}
    with service.http("read") as http:
        refused = http.post("/v1/search", json=bad)
        assert (refused.status_code, refused.json()["code"]) == (422, "bad-vector")
        both = http.post("/v1/search", json={"queries": [bad, {"text": "a"}]}).raise_for_status().json()
        assert [one.get("error", {}).get("code") for one in both["results"]] == ["bad-vector", None]


def test_wrong_usage_of_the_command(service: LiveService, tmp_path: Path) -> None:
    for words in (
        ["--text", "a", "--image-id", "3"],
        ["--negative", "3"],
        ["--text", "a", "--weight", "text"],
        ["--image-id", "3", "--crop", "a"],
        ["--text", "a", "--per-patient", "0"],
        ["--text", "a", "--dedupe", "2"],
        ["--text", "a", "--compare", "sums"],
    ):
        assert run("--home", service.home, "search", *words).code == 2, words
    (tmp_path / "questions.jsonl").write_text('{"text": "a"}')
    for words in (["--text", "b"], ["-k", "3"], ["--explain"]):
        wrong = run("--home", service.home, "search", "--queries", tmp_path / "questions.jsonl", *words)
        assert wrong.code == 2, words
    shown = run("--home", service.home, "search", "--text", "a", "--explain", "--where", "modality=XC")
    assert "vectors compared" in shown.out
    assert "modality=XC: " in shown.out


def test_an_answer_that_a_newer_service_gives_is_read(named: Named) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"results": [{"error": {"code": "x", "message": "y", "more": 1}}]})

    with Client("http://service", transport=httpx.MockTransport(answer)) as client:
        [one] = client.search_many([{"text": "a"}]).results
    assert one.error is not None
    assert one.error.code == "x"

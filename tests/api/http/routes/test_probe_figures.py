"""The curves of a probe, as the project's client asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

from medsiglip.api.archive.archive import Archive
from medsiglip.api.http.app import create_app
from medsiglip.api.settings import Settings
from medsiglip.client.client import ApiError, Client
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.label_records import LabelRecord
from tests.index.index_cases import DIMENSION, SPACE, make_bundle

STUDIES, IMAGES = 60, 3
POSITIVE = [number % 3 == 0 for number in range(STUDIES)]


def vectors() -> Any:
    """Unit vectors [n, d]; those of every third study lie towards the first axis."""
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(STUDIES * IMAGES, DIMENSION))
    rows[:, 0] += 2.0 * np.repeat(POSITIVE, IMAGES)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class Served:
    """An application with a probe of images, and its client."""

    def __init__(self, http: TestClient) -> None:
        self.http = http
        self.archive: Archive = http.app.state.server.archive  # type: ignore[attr-defined]
        self.client = Client("http://127.0.0.1:8000", transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        sent = {name: value for name, value in request.headers.items() if name == "content-type"}
        got = self.http.request(request.method, str(request.url), content=request.read(), headers=sent)
        return httpx.Response(got.status_code, content=got.content)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("figures") / "home"
    with CaseIndex.open(home) as index:
        index.activate(SPACE)
        facts = [{"patient_sex": "FM"[number % 2]} for number in range(STUDIES)]
        bundles = [make_bundle(number, IMAGES, study_fields=facts[number]) for number in range(STUDIES)]
        index.add(bundles, vectors())
        index.labels.put(
            [
                LabelRecord("mass", float(is_positive), "study_instance_uid", f"2.25.{number}")
                for number, is_positive in enumerate(POSITIVE)
            ]
        )
    app = create_app(Settings(home=home))
    with TestClient(app, base_url="http://127.0.0.1:8000") as http:
        found = Served(http)
        found.archive.train_probe("mass", labels=["mass"], level="image")
        yield found


def test_counts_at_each_threshold_lie_on_the_curves(served: Served) -> None:
    found = served.client.probe_curves("mass")
    assert found == served.client.probe_curves("mass@1")
    assert (found.name, found.version, found.space) == ("mass", 1, SPACE.name)
    [label] = found.labels
    assert label.label == "mass"
    assert label.counts is not None
    positive, negative = (np.array(one) for one in (label.counts.positive, label.counts.negative))
    assert (positive.sum(), negative.sum()) == (
        IMAGES * sum(POSITIVE),
        IMAGES * (STUDIES - sum(POSITIVE)),
    )
    roc = np.array(label.roc)
    for step in range(51):
        sensitivity = positive[step:].sum() / positive.sum()
        false_alarms = negative[step:].sum() / negative.sum()
        # Between two of its points the curve goes straight up or straight on.
        low = roc[roc[:, 0] <= false_alarms + 1e-9, 1].max()
        high = roc[roc[:, 0] >= false_alarms - 1e-9, 1].max()
        assert low - 1e-9 <= sensitivity <= high + 1e-9 or sensitivity <= low + 1e-9
        called = positive[step:].sum() + negative[step:].sum()
        if called:
            precision = positive[step:].sum() / called
            near = min(abs(np.array(label.precision_recall) - (sensitivity, precision)).sum(axis=1))
            assert near < 0.05
    assert {(one.attribute, one.value) for one in label.subgroups} == {
        ("patient_sex", "F"),
        ("patient_sex", "M"),
    }
    for of_all, of_groups in (
        (positive, [one.counts.positive for one in label.subgroups]),
        (negative, [one.counts.negative for one in label.subgroups]),
    ):
        assert of_all.tolist() == np.sum(of_groups, axis=0).tolist()
    assert sum(one.n for one in label.reliability) == STUDIES * IMAGES
    with pytest.raises(ApiError) as caught:
        served.client.probe_curves("mass@2")
    assert caught.value.code == "unknown-probe"

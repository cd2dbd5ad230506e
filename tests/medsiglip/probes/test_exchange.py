"""A probe in two files, and as scikit-learn's estimator."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from medsiglip.errors import ModelError
from medsiglip.numerics import unit_vectors
from medsiglip.probes.estimator import to_sklearn
from medsiglip.probes.exchange import packed, unpacked
from medsiglip.probes.files import DESCRIPTION, LONGEST, WEIGHTS, read_files, write_files, zipped
from medsiglip.probes.probe import Probe
from medsiglip.probes.report import LabelReport, ProbeReport

ABOUT = {"name": "p", "summary": {"level": "image"}}


def make_probe(labels: int, exclusive: bool = False) -> Probe:
    rng = np.random.default_rng(labels)
    names = tuple("bcade"[:labels])
    entries = tuple(LabelReport(name, 9, 4, 0.75, (0.5, float("nan")), 0.5, 1.0) for name in names)
    report = ProbeReport(9, 5, entries, 0.75, ("odd",))
    return Probe(
        "space",
        names,
        rng.normal(size=(labels, 8)),
        rng.normal(size=labels),
        np.ones(labels),
        report,
        exclusive,
    )


@pytest.mark.parametrize(("labels", "exclusive"), [(1, False), (3, False), (2, True), (4, True)])
def test_the_estimator_of_scikit_learn_gives_the_same_probabilities(labels: int, exclusive: bool) -> None:
    probe = make_probe(labels, exclusive)
    vectors = unit_vectors(np.random.default_rng(9).normal(size=(60, 8)))
    estimator = to_sklearn(probe)
    given = estimator.predict_proba(vectors)
    expected = probe.predict_probability(vectors)
    assert np.abs((given[:, 1:] if labels == 1 else given) - expected).max() < 1e-12
    said = estimator.predict(vectors)
    if exclusive:
        assert said.tolist() == [probe.labels[i] for i in expected.argmax(axis=1)]
        assert list(estimator.classes_) == list(probe.labels)
    else:
        assert np.array_equal(np.reshape(said, (60, -1)), expected > 0.5)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    probe = replace(make_probe(3), pooling="max")
    files = packed(probe, ABOUT)
    write_files(tmp_path / "new" / "folder", files)
    (tmp_path / "p.zip").write_bytes(zipped(files))
    folder = tmp_path / "new" / "folder"
    assert sorted(one.name for one in folder.iterdir()) == [DESCRIPTION, WEIGHTS]
    for given in ([folder], [tmp_path / "p.zip"], [folder / DESCRIPTION, folder / WEIGHTS]):
        found = unpacked(read_files(given))
        assert found.about == ABOUT
        assert (found.probe.space, found.probe.labels, found.probe.pooling) == ("space", probe.labels, "max")
        for name in ("coef", "intercept", "c"):
            assert np.array_equal(getattr(found.probe, name), getattr(probe, name))
        assert str(found.probe.report) == str(probe.report)
    # Any reader of the format finds the logits, as its description says.
    arrays = load((folder / WEIGHTS).read_bytes())
    vectors = unit_vectors(np.random.default_rng(9).normal(size=(6, 8)))
    assert np.allclose(vectors @ arrays["coef"].T + arrays["intercept"], probe.predict_logits(vectors))


def rehashed(files: dict[str, bytes], **changes: Any) -> dict[str, bytes]:
    """The files with other members of the description, and hashes that fit."""
    content = json.loads(files[DESCRIPTION]) | changes
    del content["sha256"]
    content["weights_sha256"] = hashlib.sha256(files[WEIGHTS]).hexdigest()
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    content["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    return {**files, DESCRIPTION: json.dumps(content).encode()}


def test_files_that_were_changed_are_refused() -> None:
    files = packed(make_probe(2), ABOUT)
    flipped = bytearray(files[WEIGHTS])
    flipped[-1] ^= 1
    edited = files[DESCRIPTION].replace(b'"auroc": 0.75', b'"auroc": 0.99')
    assert edited != files[DESCRIPTION]
    for changed in ({WEIGHTS: bytes(flipped)}, {DESCRIPTION: edited}):
        with pytest.raises(ModelError, match=r"its hash differs") as caught:
            unpacked({**files, **changed})
        assert caught.value.code == "probe-file-changed"


@pytest.mark.parametrize(
    "changes",
    [
        {"space": 7},
        {"labels": ["a"]},
        {"labels": ["a", "a"]},
        {"labels": [1, 2]},
        {"dimension": 9},
        {"pooling": "median"},
        {"exclusive": "no"},
        {"report": {}},
        {"report": None},
        {"report": "x"},
        {"about": []},
        {"format_version": 0},
        {"format": "other"},
    ],
)
def test_descriptions_of_something_else_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="is not of a probe") as caught:
        unpacked(rehashed(packed(make_probe(2), ABOUT), **changes))
    assert caught.value.code == "probe-file-foreign"


@pytest.mark.parametrize(
    "arrays",
    [
        {"coef": np.ones((2, 8))},
        {"coef": np.ones((2, 8)), "intercept": np.ones(2), "c": np.ones(3)},
        {"coef": np.ones((2, 8), np.float32), "intercept": np.ones(2), "c": np.ones(2)},
        {"coef": np.full((2, 8), np.nan), "intercept": np.ones(2), "c": np.ones(2)},
        None,
    ],
)
def test_weights_of_something_else_are_refused(arrays: dict[str, Any] | None) -> None:
    weights = b"\x80\x04K\x01." * 9 if arrays is None else save(arrays)
    files = {**packed(make_probe(2), ABOUT), WEIGHTS: weights}
    with pytest.raises(ModelError) as caught:
        unpacked(rehashed(files))
    assert caught.value.code == "probe-file-foreign"


def test_every_other_wrong_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = packed(make_probe(2), ABOUT)
    with pytest.raises(ModelError, match="newer version") as caught:
        unpacked(rehashed(files, format_version=2))
    assert caught.value.code == "probe-file-newer"
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "broken.zip").write_bytes(zipped(files).replace(b"PK\x01\x02", b"PK\x01\x03"))
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / DESCRIPTION).write_bytes(files[DESCRIPTION])
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(DESCRIPTION, bytes(1 << 20))
    monkeypatch.setitem(LONGEST, DESCRIPTION, 1 << 19)
    for name, code in (
        ("text.txt", "probe-file-foreign"),
        ("broken.zip", "probe-file-foreign"),
        ("half", "probe-file-missing"),
        ("bomb.zip", "probe-file-too-large"),
        ("nowhere", "probe-file-unreadable"),
    ):
        with pytest.raises(ModelError) as caught:
            read_files([tmp_path / name])
        assert caught.value.code == code, name
    with pytest.raises(ModelError, match="cannot be written"):
        write_files(tmp_path / "text.txt" / "folder", files)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_whose_content_is_damaged_is_refused(tmp_path: Path, method: int) -> None:
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(DESCRIPTION, b"0123456789" * 1000)
    content = bytearray(path.read_bytes())
    begin = 30 + len(DESCRIPTION)  # after the local header (PKWARE's APPNOTE.TXT, 4.3.7)
    content[begin : begin + 20] = b"\xff" * 20
    path.write_bytes(content)
    with pytest.raises(ModelError) as raised:
        read_files([path])
    assert raised.value.code == "probe-file-foreign"

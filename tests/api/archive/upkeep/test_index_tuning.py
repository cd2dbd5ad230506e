"""`index tune`, what it keeps with the archive, and what `index info` says of searches."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from medsiglip.api.archive.archive import Archive
from medsiglip.api.errors import ServiceError
from medsiglip.index.errors import CatalogError
from medsiglip.index.search.kinds import quick_learning
from tests.api.conftest import Home, run


def test_trials_are_printed_drawn_and_change_nothing(home: Home, tmp_path: Path) -> None:
    before = home.run("index", "info").json["search"]
    picture = tmp_path / "plots" / "tuning.png"
    tuning = home.run("index", "tune", "--recall", "0.9", "--plot", picture).json
    trials = tuning["trials"]
    assert {trial["kind"] for trial in trials} >= {"flat", "quick"}
    for trial in trials:
        recall = trial["recall"]
        assert recall["rows"] == home.report["images"]
        assert 0 < recall["images"] <= 1
        assert 0 < recall["texts"] <= 1
        assert trial["kind"] == "quick" or recall["images"] == recall["texts"] == 1
    reached = [one for one in trials if min(one["recall"]["images"], one["recall"]["texts"]) >= 0.9]
    assert tuning["chosen"] == min(reached, key=lambda one: one["milliseconds"])
    assert (tuning["applied"], tuning["plot"], tuning["recall"]) == (False, str(picture), 0.9)
    with Image.open(picture) as drawn:
        assert (drawn.format, drawn.width > 800) == ("PNG", True)
        assert len(drawn.convert("RGB").getcolors(1 << 20) or ()) > 50
    assert [one.name for one in picture.parent.iterdir()] == [picture.name]
    assert home.run("index", "info").json["search"]["kind"] == before["kind"] == "quick"


def test_the_table_says_what_was_chosen(home: Home) -> None:
    shown = run("--home", home.path, "index", "tune")
    assert shown.code == 0, shown.err
    assert "PQ32x4fs" in shown.out
    assert "the fastest with 0.999 is" in shown.out
    assert "nothing was changed" in shown.out
    facts = run("--home", home.path, "index", "info").out
    for words in ("fewer than 8,192 vectors", "all answers are exact", "0 approximate", "MiB"):
        assert words in facts


def test_a_choice_is_kept_and_the_setting_has_precedence(
    own_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without a clock the first trial, comparing with every vector, is the fastest; then the last is.
    monkeypatch.setattr("medsiglip.index.search.tuning.milliseconds", lambda *_: 9.0)
    monkeypatch.setattr(quick_learning, "milliseconds", lambda *_: 1.0)
    assert own_home.run("index", "tune", "--apply", "--recall", "0.95").json["chosen"]["kind"] == "quick"
    search = own_home.run("index", "info").json["search"]
    assert (search["kind"], search["why"]) == ("quick", "chosen by hand")
    monkeypatch.setenv("MEDSIGLIP_INDEX_KIND", "flat")
    assert own_home.run("index", "info").json["search"]["kind"] == "flat"
    monkeypatch.setenv("MEDSIGLIP_INDEX_KIND", "auto")
    assert own_home.run("index", "rebuild").json["search"]["kind"] == "quick"
    [choice] = (own_home.path / "faiss").glob("choice-*.json")
    for damaged in (b"", b"[]", b'{"kind": "quick", "recall": 7}', b'{"kind": "?", "recall": null}'):
        choice.write_bytes(damaged)
        assert "fewer than" in own_home.run("index", "info").json["search"]["why"]
    assert own_home.run("search", "--text", "melanoma", "-k", "3").json["hits"]


def test_an_archive_can_be_tuned_from_python(home: Home, tmp_path: Path) -> None:
    with Archive(home.path) as archive:
        tuned = archive.tune_index(recall=0.5, apply=False, plot=tmp_path / "tuned.png")
        assert tuned.plot == str(tmp_path / "tuned.png")
        assert tuned.chosen in tuned.trials
        assert not tuned.applied
        for recall in (0, -1, 1.01, float("nan")):
            with pytest.raises(ServiceError, match="over 0 and at most 1") as caught:
                archive.tune_index(recall=recall)
            assert caught.value.code == "bad-recall"


@pytest.mark.long
def test_few_images_are_not_tuned(own_home: Home) -> None:
    studies = own_home.run("study", "list").json["studies"]
    for study in studies[3:]:
        assert own_home.run("forget", "--study", study["study_instance_uid"], "--yes").code == 0
    refused = own_home.run("index", "tune")
    assert (refused.code, refused.error["code"]) == (1, "too-few-images")


def test_an_archive_without_images_is_not_tuned(tmp_path: Path) -> None:
    with Archive(tmp_path / "home", model="tiny") as archive:
        archive.make()
        with pytest.raises(CatalogError) as caught:
            archive.tune_index()
        assert caught.value.code == "no-space"
        assert archive.index_info().search is None

from __future__ import annotations

import csv
import io
import os
import re
import signal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medsiglip.index.case_index import CaseIndex
from medsiglip.ingest.engines import local
from medsiglip.ingest.errors import IngestError, InterruptedIngestError
from medsiglip.ingest.run import commits
from medsiglip.ingest.run.pipeline import IngestOptions, ingest
from medsiglip.ingest.run.report_file import check_report_path, to_csv, to_html, write_report
from medsiglip.ingest.run.run_details import MAX_THUMBNAILS_OF_GROUP, RunDetails
from medsiglip.ingest.units.plan import Unit
from medsiglip.ingest.workers.rendered_unit import RenderedUnit

PIXELS = np.arange(256, dtype=np.uint16).reshape(16, 16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_dicom: Any, write_series: Any) -> Any:
    """Files of every outcome, which no test changes."""
    folder = tmp_path_factory.mktemp("files") / "in"
    write_series(folder / "ct", 5, PatientName="Doe^Jane", BurnedInAnnotation="NO")
    for n in range(12):
        write_dicom(
            folder / f"dx{n}.dcm",
            PIXELS + n,
            SOPInstanceUID=f"2.25.5{n}",
            PatientName="Doe^Jane",
            BurnedInAnnotation="NO",
        )
    write_dicom(
        folder / "burned.dcm",
        PIXELS,
        SOPInstanceUID="2.25.70",
        SeriesInstanceUID="2.25.71",
        Modality="US",
        BurnedInAnnotation="YES",
    )
    Image.fromarray(PIXELS.astype(np.uint8)).save(folder / "picture.png")
    (folder / "notes.txt").write_text("nothing to see")
    (folder / "<b>&x.dcm").write_text("not DICOM at all")
    (folder / "=cmd.txt").write_text("a name that a spreadsheet would run")
    return folder


@pytest.fixture
def ran(tmp_path: Path, model: Any, encoder: Any, folder: Any) -> Any:
    def ran(*, show_burned_in: Any = False, **options: Any) -> Any:
        details = RunDetails(show_burned_in=show_burned_in)
        with CaseIndex.open(tmp_path / "home") as index:
            report = ingest(
                [folder], index, model, lambda: encoder, IngestOptions(**options), details=details
            )
        return report, details

    return ran


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, model: Any, encoder: Any, folder: Any) -> Any:
    """Report and details of a first run, for tests that only look at them."""
    details = RunDetails()
    with CaseIndex.open(tmp_path_factory.mktemp("told") / "home") as index:
        return ingest([folder], index, model, lambda: encoder, details=details), details


def rows(text: Any) -> Any:
    return {row["path"].rsplit("/", 1)[-1]: row for row in csv.DictReader(io.StringIO(text))}


def test_the_files_of_several_batches_are_all_told(
    tmp_path: Path, model: Any, encoder: Any, folder: Any
) -> None:
    """As watching a folder makes them: one run for each batch, one report for all."""
    details = RunDetails()
    batches = [[folder / "ct"], [folder / "dx1.dcm", folder / "notes.txt"], [folder / "picture.png"]]
    with CaseIndex.open(tmp_path / "home") as index:
        for batch in batches:
            report = ingest(batch, index, model, lambda: encoder, details=details)
    slices = {path.name for path in (folder / "ct").iterdir()}
    assert set(rows(to_csv(report, details))) == {*slices, "dx1.dcm", "notes.txt", "picture.png"}


@pytest.mark.parametrize("committed", [False, True])
def test_a_run_that_was_stopped_tells_what_the_index_holds(
    tmp_path: Path, model: Any, encoder: Any, folder: Any, monkeypatch: pytest.MonkeyPatch, committed: Any
) -> None:
    details = RunDetails()
    if committed:
        monkeypatch.setattr(local, "ENCODED_TOGETHER", 1)
        monkeypatch.setattr(commits, "COMMIT_EVERY_S", 0.0)
    rendered: list[Unit] = []
    add_rendered = details.add_rendered

    def interrupt_after_two(unit: Unit, images: RenderedUnit) -> None:
        add_rendered(unit, images)
        rendered.append(unit)
        if len(rendered) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(details, "add_rendered", interrupt_after_two)
    with CaseIndex.open(tmp_path / "home") as index:
        with pytest.raises(InterruptedIngestError):
            ingest([folder], index, model, lambda: encoder, details=details)
        held = {path for path, file in index.files.by_path().items() if file.outcome == "embedded"}
        images = index.info().images
    assert bool(held) == committed
    assert set(details.lines) == held
    assert sum(group.images for group in details.groups.values()) == images


def test_the_csv_has_one_line_for_every_file(told: Any, folder: Any) -> None:
    report, details = told
    table = rows(to_csv(report, details))
    assert set(table) == {path.name for path in folder.rglob("*") if path.is_file()}
    assert len(table) == report.files
    outcomes = [row["outcome"] for row in table.values()]
    assert outcomes.count("embedded") == report.files_embedded
    assert outcomes.count("skipped") == len(report.skipped)
    assert outcomes.count("quarantined") == len(report.quarantined)
    assert sum(int(row["images"]) for row in table.values()) == report.embedded
    assert table["dx3.dcm"] | {"path": ""} == {
        "path": "",
        "outcome": "embedded",
        "code": "",
        "reason": "",
        "modality": "DX",
        "rendering": table["dx3.dcm"]["rendering"],
        "images": "1",
        "burned_in": "no",
    }
    assert table["dx3.dcm"]["rendering"]
    assert (table["<b>&x.dcm"]["code"], table["<b>&x.dcm"]["outcome"]) == ("not-dicom", "quarantined")


def test_a_second_run_says_unchanged_with_the_modality(ran: Any) -> None:
    ran()
    report, details = ran()
    table = rows(to_csv(report, details))
    assert {row["outcome"] for row in table.values()} == {"unchanged", "skipped", "quarantined"}
    assert (table["dx0.dcm"]["modality"], table["dx0.dcm"]["images"]) == ("DX", "0")


class Page(HTMLParser):
    def __init__(self, text: Any) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: Any, attributes: Any) -> None:
        given = dict(attributes)
        self.sources += [given[name] for name in ("src", "href") if name in given]
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: Any) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_needs_no_other_file(told: Any) -> None:
    page = Page(to_html(*told))
    assert page.open == []
    assert page.sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)


def test_thumbnails_are_bounded_and_none_may_show_the_patient(told: Any) -> None:
    report, details = told
    shown = {
        modality: (group.images, len(group.thumbnails)) for (modality, _), group in details.groups.items()
    }
    assert shown["DX"] == (12, MAX_THUMBNAILS_OF_GROUP)
    assert shown["CT"] == (5, 1)
    assert shown["US"] == (1, 0)
    assert "1 not shown" in re.sub(r"<[^>]*>", " ", to_html(report, details))
    bright = details.groups[next(key for key in details.groups if key[0] == "DX")].thumbnails[0]
    assert bright.shape == (128, 128, 3)
    assert int(bright.max()) > int(bright.min())


def test_all_thumbnails_are_shown_to_those_who_ask_for_them(ran: Any) -> None:
    report, details = ran(show_burned_in=True)
    groups = {key[0]: group for key, group in details.groups.items()}
    assert (len(groups["US"].thumbnails), groups["US"].withheld, len(groups["CT"].thumbnails)) == (1, 0, 1)
    assert "not shown" not in to_html(report, details)


def test_neither_file_names_a_person_and_the_page_runs_no_name(told: Any) -> None:
    report, details = told
    for text in (to_csv(report, details), to_html(report, details)):
        assert "Doe" not in text
    assert "<b>&x.dcm" not in to_html(report, details)
    assert "&lt;b&gt;&amp;x.dcm" in to_html(report, details)


def test_a_dry_run_has_lines_and_counts_and_no_thumbnails(ran: Any) -> None:
    report, details = ran(dry_run=True)
    table = rows(to_csv(report, details))
    assert len(table) == report.files
    assert sum(int(row["images"]) for row in table.values()) == report.embedded
    assert Page(to_html(report, details)).sources == []
    assert "dry run" in to_html(report, details)


def test_a_report_is_written_whole_in_place_of_an_old_one(tmp_path: Path, told: Any) -> None:
    path = tmp_path / "report.csv"
    path.write_text("old")
    report, details = told
    write_report(path, report, details)
    assert path.read_text() == to_csv(report, details)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir() if "tmp" in entry.name] == []


@pytest.mark.parametrize(
    ("name", "code"), [("a.pdf", "bad-report-name"), ("no/a.csv", "report-not-writable")]
)
def test_a_report_that_cannot_be_written_is_refused_before_the_run(
    tmp_path: Path, name: Any, code: Any
) -> None:
    with pytest.raises(IngestError) as caught:
        check_report_path(tmp_path / name)
    assert caught.value.code == code

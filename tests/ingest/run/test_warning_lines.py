from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medsiglip.answers.cases import IngestReport, WarningGroup
from medsiglip.index.case_index import CaseIndex
from medsiglip.ingest.run.pipeline import IngestOptions, ingest
from medsiglip.ingest.run.report_file import to_html
from medsiglip.ingest.run.run_details import RunDetails
from medsiglip.ingest.run.warning_lines import grouped, single

OTHER = "this SOP Instance UID came with different pixels; all are kept."
GONE = "files of this series are gone; the new ones were rendered alone."


def report_of(warnings: list[str]) -> IngestReport:
    lines, groups = grouped(warnings)
    return IngestReport(
        files=0, files_embedded=0, files_unchanged=0, studies=0, series=0, instances=0, images=0, embedded=0,
        unchanged=0, skipped=(), quarantined=(), warnings=lines, warned=groups, space="s", seconds=0.0,
    )  # fmt: skip


def test_a_kind_is_one_line_that_names_a_few() -> None:
    lines, groups = grouped(
        [
            *(f"1.2.{n}: {OTHER}" for n in range(1000)),
            "3 images, blank: all pixels have one value.",
            f"2.25.7: {GONE}",
            "Route a: no generator.",
            "4 images, blank: all pixels have one value.",
            f"1.2.3: {OTHER}",
            "Route a: no generator.",
        ]
    )
    assert lines == (
        "1000 times: this SOP Instance UID came with different pixels; all are kept (1.2.0, 1.2.1, 1.2.2 and "
        "997 more).",
        "7 images, blank: all pixels have one value.",
        f"2.25.7: {GONE}",
        "Route a: no generator.",
    )
    assert groups == (WarningGroup(warning=OTHER, about=tuple(f"1.2.{n}" for n in range(1000))),)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_line_names_all_of_a_few(count: int) -> None:
    ((line,), _) = grouped([f"1.2.{n}: {OTHER}" for n in range(count)])
    assert all(f"1.2.{n}" in line for n in range(min(count, 3)))
    assert ("more" in line) == (count > 3)


def test_the_sum_of_several_reports_is_that_of_their_warnings() -> None:
    first = [*(f"1.2.{n}: {OTHER}" for n in range(5)), "3 images, blank: one value.", "Said once."]
    second = [*(f"1.2.{n}: {OTHER}" for n in range(4, 7)), f"2.25.7: {GONE}", "1 images, blank: one value."]
    both = grouped([*single(report_of(first)), *single(report_of(second))])
    assert sorted(both[0]) == sorted(grouped([*first, *second])[0])
    assert both[1] == grouped([*first, *second])[1]


def test_a_report_page_lists_all_uids() -> None:
    page = to_html(report_of([f"1.2.{n}: {OTHER}" for n in range(30)]), RunDetails())
    assert page.count("came with different pixels") == 1
    assert all(f"<code>1.2.{n}</code>" in page for n in range(30))


def test_a_run_says_each_kind_once(tmp_path: Path, write_dicom: Any, model: Any, encoder: Any) -> None:
    for n in range(6):
        for copy in range(2):
            pixels = np.full((8, 8), 10 * n + copy, np.uint16)
            pixels[0] = 0
            write_dicom(tmp_path / "in" / f"{n}-{copy}.dcm", pixels, SOPInstanceUID=f"2.25.{n + 1}")
    with CaseIndex.open(tmp_path / "home") as index:
        for options in (IngestOptions(dry_run=True), IngestOptions()):
            report = ingest([tmp_path / "in"], index, model, lambda: encoder, options)
            lines = [line for line in report.warnings if "different pixels" in line]
            assert len(lines) == 1
            assert lines[0].startswith("6 times: ")
            (group,) = [group for group in report.warned if group.warning == OTHER]
            assert sorted(group.about) == [f"2.25.{n + 1}" for n in range(6)]

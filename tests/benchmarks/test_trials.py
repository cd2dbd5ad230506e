"""A trial of a benchmark with fewer items is shown and not stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import __main__ as program
from benchmarks import results_file
from benchmarks.measure import Outcome


def test_a_trial_is_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = Outcome("of 2 cases", 1.0, "the same", 2, [1.0], [2.0], stored=False)
    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    monkeypatch.setattr(program, "import_module", lambda _: type("M", (), {"measure": lambda *_: trial}))
    monkeypatch.setattr("sys.argv", ["benchmarks", "H2"])
    assert program.main() == 0
    assert not list(tmp_path.iterdir())
    assert "2.00" in capsys.readouterr().out

"""Runs that are killed: what was committed stays, and nothing is there twice."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.repository import ROOT

SCRIPT = textwrap.dedent(
    """
    import json, sys
    from pathlib import Path
    sys.path[:0] = json.loads(sys.argv[3])
    from sqlalchemy import Engine, event
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.ingest.run.pipeline import ingest
    from ingest_test_conftest import Encoder, Model
    event.listen(Engine, "before_cursor_execute", lambda *_: print("statement", flush=True))
    with CaseIndex.open(Path(sys.argv[1])) as index:
        report = ingest([sys.argv[2]], index, Model(), Encoder).to_json()
    print(json.dumps(report))
    """
)


@pytest.fixture
def command(tmp_path: Path) -> Any:
    """An ingest in a process of its own."""
    shutil.copy(ROOT / "tests" / "ingest" / "conftest.py", tmp_path / "ingest_test_conftest.py")
    (tmp_path / "script.py").write_text(SCRIPT)
    paths = json.dumps([str(tmp_path), *filter(None, sys.path)])

    def start(home: Any, folder: Any) -> Any:
        return subprocess.Popen(
            [sys.executable, str(tmp_path / "script.py"), str(home), str(folder), paths],
            stdout=subprocess.PIPE,
        )

    return start


def test_a_second_run_imports_no_torch_and_no_pydicom(
    tmp_path: Path, home: Any, run: Any, write_series: Any
) -> None:
    write_series(tmp_path / "in", 3)
    run(tmp_path / "in")
    script = textwrap.dedent(
        """
        import json, sys
        from dataclasses import make_dataclass
        from pathlib import Path
        from medsiglip.index.case_index import CaseIndex
        from medsiglip.ingest.run.pipeline import ingest
        Model = make_dataclass("Model", ["name", "hash", "dimension", "image_size"])
        with CaseIndex.open(Path(sys.argv[1])) as index:
            report = ingest([sys.argv[2]], index, Model("test", "ab" * 32, 48, 32), None)
        print(json.dumps([report.files_unchanged, sorted({"torch", "pydicom", "PIL"} & set(sys.modules))]))
        """
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, str(home), str(tmp_path / "in")], capture_output=True, check=True
    )
    assert json.loads(answer.stdout) == [3, []]


def test_killing_at_any_moment_loses_and_doubles_nothing(
    tmp_path: Path, home: Any, run: Any, command: Any, write_series: Any
) -> None:
    for n in range(20):
        write_series(tmp_path / "in" / str(n), 4, uid=100 + n)
    rng = np.random.default_rng(11)
    codes = []
    for _ in range(3):
        process = command(home, tmp_path / "in")
        for _ in zip(range(rng.integers(1, 60)), process.stdout, strict=False):
            pass
        time.sleep(float(rng.uniform(0.0, 0.05)))
        process.kill()
        process.communicate()
        codes.append(process.returncode)
    report = run(tmp_path / "in")
    assert -signal.SIGKILL in codes
    assert (report["files"], report["files_embedded"] + report["files_unchanged"]) == (80, 80)
    assert (report["studies"], report["series"], report["instances"], report["images"]) == (20, 20, 80, 80)

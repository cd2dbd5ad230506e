"""One small archive of phantoms that the tests of this folder share, and the command line run in this
process.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from medsiglip.api.cli.main import main
from tests.api.forked_encoders import Encoders
from tests.api.live_service import LiveService, live_service
from tests.api.service_processes import Start, Started


@dataclass(frozen=True)
class Ran:
    """The exit code and output of one command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on standard output; any other output fails the test."""
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        """The error object, after checking that standard error has the same in one line, of a service as
        JSON.
        """
        error: dict[str, str] = json.loads(self.out)["error"]
        last = self.err.strip().splitlines()[-1]
        last = json.loads(last)["message"] if last.startswith("{") else last
        assert last == f"error: {error['message']} ({error['code']})"
        assert "Traceback" not in self.err
        return error


def run(*words: object) -> Ran:
    """Run `medsiglip` with these words in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(word) for word in words])
    return Ran(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def forked_encoders() -> Iterator[Encoders]:
    """The process that forks the encoders of applications that run in this process."""
    made = Encoders()
    yield made
    made.close()


@pytest.fixture(autouse=True, scope="module")
def encoders(request: pytest.FixtureRequest, forked_encoders: Encoders) -> Iterator[None]:
    """Encoders need no seconds to load torch, but in the tests of how their process is started."""
    from medsiglip.api.encoder import child

    with pytest.MonkeyPatch.context() as patch:
        if "tests/api/encoder/" not in request.node.nodeid:
            patch.setattr(child, "start_module", forked_encoders.start_module)
        yield


@dataclass(frozen=True)
class Phantoms:
    """Synthetic studies on disk; `labels` is a CSV keyed by study, `by_study` its content."""

    dicom: Path
    labels: Path
    by_study: dict[str, dict[str, int]]

    def with_label(self, name: str, value: int = 1) -> list[str]:
        """Studies in which a label has this value."""
        return [uid for uid, labels in self.by_study.items() if labels.get(name) == value]


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Phantoms:
    """Skin photographs for labels and probes, chest X-rays, and two CT series."""
    from medsiglip.phantoms.catalogue import make_studies
    from medsiglip.phantoms.dicom import write_study

    folder = tmp_path_factory.mktemp("phantoms")
    studies = [
        *make_studies(24, 11, ["skin"]),
        *make_studies(6, 11, ["chest-xray"]),
        *make_studies(2, 11, ["chest-ct"]),
    ]
    by_study = {}
    for study in studies:
        write_study(study, folder / "dicom")
        by_study[study.study_instance_uid] = dict(study.labels)
    names = sorted({name for labels in by_study.values() for name in labels})
    with (folder / "labels.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["study_instance_uid", *(f"label:{name}" for name in names)])
        for uid, labels in by_study.items():
            writer.writerow([uid, *(labels.get(name, "") for name in names)])
    return Phantoms(folder / "dicom", folder / "labels.csv", by_study)


@dataclass(frozen=True)
class Home:
    """An archive of all phantoms with their labels; `report` is the report of the ingest."""

    path: Path
    report: dict[str, Any]

    def run(self, *words: object) -> Ran:
        """Run a command on this archive with --json."""
        return run("--home", self.path, "--json", *words)

    def show(self, *words: object) -> Ran:
        """Run a command on this archive for a person."""
        return run("--home", self.path, *words)


@pytest.fixture(scope="session")
def home(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The shared archive, which tests must not change."""
    path = tmp_path_factory.mktemp("archive") / "home"
    report = run("--home", path, "--json", "ingest", phantoms.dicom).json
    assert run("--home", path, "label", "import", phantoms.labels).code == 0
    return Home(path, report)


@pytest.fixture(scope="session")
def service(
    home: Home, phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveService]:
    """A real server on a copy of the shared archive, which tests may add to; it may read the phantoms."""
    folder = tmp_path_factory.mktemp("service")
    environment = {
        "MEDSIGLIP_INGEST_ROOTS": str(phantoms.dicom.parent),
        "MEDSIGLIP_UPLOAD_PAUSE_SECONDS": "2",
    }
    environment |= {"MEDSIGLIP_MAX_UPLOAD_BYTES": str(300 << 20), "MEDSIGLIP_MAX_UPLOAD_FILES": "500"}
    environment |= {"MEDSIGLIP_MIN_FREE_BYTES": str(100 << 20)}
    with live_service(home.path, folder, environment) as started:
        yield started


@pytest.fixture
def own_home(home: Home, tmp_path: Path) -> Home:
    """A copy of the shared archive that a test may change."""
    shutil.copytree(home.path, tmp_path / "home")
    return Home(tmp_path / "home", home.report)


@pytest.fixture
def changed_checkpoint(tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    """Make a copy of `tiny` whose tensors a function has changed."""

    def make(change: Callable[[dict[str, Any]], None]) -> Path:
        from safetensors.numpy import load_file, save_file

        from medsiglip.checkpoint import TINY

        folder = tmp_path / "checkpoint"
        shutil.copytree(TINY, folder)
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        (folder / "model.safetensors").unlink()
        save_file(tensors, folder / "model.safetensors")
        return folder

    return make


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts commands on the test's home; they end with the test."""
    begun: list[Started] = []

    def start(*words: str, database_url: str | None = None, **environment: str) -> Started:
        begun.append(Started(tmp_path / "home", words, database_url, environment))
        return begun[-1]

    yield start
    for one in begun:
        one.end()

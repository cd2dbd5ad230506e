"""Every command of the README and of docs/, run as it stands, on phantoms. What cannot run here is marked on
its page, listed below, and at least made of commands, options, targets and services that exist.
"""

from __future__ import annotations

import csv
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pydicom
import pytest
import typer
from PIL import Image

from medsiglip.api.archive.drafts.generators import read_generators
from medsiglip.api.cli.commands.invocation import Invocation
from medsiglip.api.cli.main import app
from medsiglip.api.settings import read_settings
from medsiglip.index.case_index import CaseIndex
from medsiglip.medgemma.routing.rules import read_rules
from medsiglip.phantoms.catalogue import make_studies
from medsiglip.phantoms.dicom import write_study
from medsiglip.toml_file import parse_toml
from medsiglip.zero_shot.prompt_file import load_prompt_set
from tests.api.cli import forked_commands
from tests.api.conftest import Home, Phantoms
from tests.container_files import compose
from tests.documents import PAGES, Block, blocks, script
from tests.documents import commands as commands_of
from tests.repository import ROOT
from tests.waiting import eventually

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FOLLOWED = {
    "readme": ("README.md",),
    "ingest": ("docs/index.md", "docs/ingest.md"),
    "persons": ("docs/patient-data.md",),
    "questions": ("docs/search.md", "docs/classify.md", "docs/probes.md", "docs/evaluate.md", "docs/map.md"),
    "models": ("docs/models.md",),
    "drafts": ("docs/drafts.md",),
    "service": ("docs/service.md", "docs/python.md"),
    "operations": ("docs/operations.md", "docs/gpu.md", "docs/settings.md", "docs/pacs.md"),
}
"""The pages that one reader follows one after the other, by test."""

NOT_RUN = Counter(
    {
        ("README.md", "builds the environment"): 1,
        ("docs/pacs.md", "needs a PACS"): 4,
        ("docs/pacs.md", "runs until Ctrl-C"): 1,
        ("README.md", "needs the hub"): 1,
        ("docs/benchmarks.md", "takes minutes"): 1,
        ("docs/classify.md", "needs 40 labelled patients"): 1,
        ("docs/docker.md", "needs Docker"): 6,
        ("docs/drafts.md", "needs the weights of MedGemma"): 1,
        ("docs/evaluate.md", "needs two spaces"): 1,
        ("docs/gpu.md", "takes minutes"): 1,
        ("docs/index.md", "builds the environment"): 1,
        ("docs/ingest.md", "runs until Ctrl-C"): 1,
        ("docs/models.md", "needs the hub"): 1,
        ("docs/models.md", "needs the weights of MedSigLIP"): 1,
        ("docs/operations.md", "needs a PostgreSQL server"): 1,
        ("docs/scale.md", "needs a Ray cluster"): 1,
        ("docs/operations.md", "needs Kubernetes"): 1,
        ("docs/operations.md", "needs a collector"): 1,
        ("docs/screen.md", "needs npm"): 1,
    }
)


@dataclass(frozen=True)
class Reader:
    """Somebody who follows pages on a machine of their own: `home` is ~, `folder` where the commands run."""

    home: Path
    folder: Path
    study: str

    @property
    def archive(self) -> Path:
        """The default home."""
        return self.home / ".local/share/medsiglip"

    def follow(self, name: str) -> str:
        """Run the blocks of these pages one after the other; what they print."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        inputs = {
            "STUDY": self.study,
            "DICOM": str(self.home / "dicom"),
            "CASE": str(self.folder / "case.dcm"),
            "LABELS": str(self.folder / "labels.csv"),
        }
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MEDSIGLIP_")}
        environment |= {
            "HOME": str(self.home),
            "PATH": f"{self.home / 'bin'}:{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
        }
        process = subprocess.Popen(
            ["bash", "-c", f"{script(FOLLOWED[name], inputs, port)}\n"],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=900)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode == 0, (out[-3000:], err[-3000:])
        assert "Traceback" not in err
        return out


MakeReader = Callable[..., Reader]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a process that runs commands, with all its children ended in the end."""
    path = tmp_path_factory.mktemp("commands") / "socket"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(
        [sys.executable, forked_commands.__file__, "serve", path], env=environment, start_new_session=True
    )
    eventually(path.exists)
    yield path
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()


@pytest.fixture
def reader(phantoms: Phantoms, home: Home, tmp_path: Path, commands: Path) -> MakeReader:
    """Make a reader with a few files, and with the shared archive or none."""

    def make(*, with_archive: bool) -> Reader:
        user, folder = tmp_path / "user", tmp_path / "folder"
        (user / "bin").mkdir(parents=True)
        for name, module in (
            ("medsiglip", f"-IS {forked_commands.__file__} run {commands} "),
            ("python", ""),
        ):
            command = user / "bin" / name
            command.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module}"$@"\n')
            command.chmod(0o755)
        for study in make_studies(3, 5, ["chest-xray"]):
            write_study(study, user / "dicom")
        for study in make_studies(1, 6, ["skin"]):
            write_study(study, user / "more")
        write_pictures(user / "pictures", "table.csv")
        write_pictures(user / "pairs", "metadata.csv")
        folder.mkdir()
        shutil.copyfile(phantoms.labels, folder / "labels.csv")
        shutil.copyfile(sorted((user / "dicom").rglob("*.dcm"))[0], folder / "case.dcm")
        if with_archive:
            shutil.copytree(home.path, user / ".local/share/medsiglip")
        with CaseIndex.open(home.path) as index:
            uid = index.studies(["modality=CR|DX"])[0].study_instance_uid
        return Reader(user, folder, uid)

    return make


def write_pictures(folder: Path, table: str) -> None:
    """Twelve pictures of one grey level each, and a CSV that says what they are."""
    folder.mkdir()
    with (folder / table).open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "patient_id", "modality", "caption", "split"])
        for number in range(12):
            Image.new("L", (64, 64), 20 * number + 10).save(folder / f"{number}.png")
            split = "train" if number % 3 else "val"
            writer.writerow([f"{number}.png", f"P{number}", "XC", f"grey level {number}", split])


def test_every_page_is_followed_once() -> None:
    with_commands = [
        page
        for page in PAGES
        if any(one.kind in ("sh", "python") and one.not_run is None for one in blocks(page))
    ]
    assert sorted(page for pages in FOLLOWED.values() for page in pages) == sorted(with_commands)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_readme(reader: MakeReader) -> None:
    person = reader(with_archive=True)
    assert '"scores":' in person.follow("readme").replace('": ', '":')
    assert (person.folder / "plan.html").is_file()
    assert pq.read_table(person.folder / "predictions.parquet").num_rows > 30


@pytest.mark.long
def test_a_first_ingest(reader: MakeReader) -> None:
    person = reader(with_archive=False)
    person.follow("ingest")
    for name in ("plan.html", "report.csv", "report.html", "rendered/images.jsonl"):
        assert (person.folder / name).is_file()
    with CaseIndex.open(person.archive) as index:
        assert len(index.studies([])) == 3 + 12


@pytest.mark.long
def test_patients_are_forgotten(reader: MakeReader) -> None:
    person = reader(with_archive=True)
    person.follow("persons")
    with CaseIndex.open(person.archive) as index:
        assert person.study not in {one.study_instance_uid for one in index.studies([])}
    with CaseIndex.open(person.home / "strict-archive") as index:
        assert index.phi == "strict"


@pytest.mark.long
def test_questions(reader: MakeReader) -> None:
    person = reader(with_archive=True)
    person.follow("questions")
    assert pq.read_schema(person.folder / "embeddings.parquet").names == [
        "path",
        "sop_instance_uid",
        "frame",
        "embedding",
    ]
    assert {"embedding", "labels", "warnings"} <= set(
        pq.read_schema(person.folder / "exported/images.parquet").names
    )
    assert {"study_instance_uid", "patient_key", "path", "probability"} <= set(
        pq.read_schema(person.folder / "predictions.parquet").names
    )


@pytest.mark.long
def test_a_checkpoint_is_tuned(reader: MakeReader) -> None:
    person = reader(with_archive=False)
    person.follow("models")
    assert {"curve.csv", "curve.png", "config.json"} <= {
        one.name for one in (person.home / "tuned").iterdir()
    }


@pytest.mark.long
def test_drafts_and_routing_rules(reader: MakeReader) -> None:
    person = reader(with_archive=True)
    person.follow("drafts")
    assert pydicom.dcmread(person.folder / "report.dcm").Modality == "SR"
    with CaseIndex.open(person.archive) as index:
        drafts = index.drafts.listed()
        by_hand = [
            one.status for one in drafts if one.study_instance_uid == person.study and one.route is None
        ]
        assert sorted(by_hand) == ["accepted", "accepted", "rejected"]
        assert {one.route for one in drafts} == {None, "effusions"}


@pytest.mark.long
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_service_and_its_client(reader: MakeReader, phantoms: Phantoms) -> None:
    person = reader(with_archive=False)
    shutil.rmtree(person.home / "dicom")
    shutil.copytree(phantoms.dicom, person.home / "dicom")
    out = person.follow("service")
    for name in ("hits", "scores", "macro_auroc", "probability", "embedding"):
        assert f'"{name}":' in out
    assert '"status":"done"' in out.replace('": ', '":')
    assert "32 studies, 0 new images" in out
    assert "label='" in out
    assert "images embedded" in out


@pytest.mark.long
def test_operations_and_settings(reader: MakeReader) -> None:
    person = reader(with_archive=True)
    out = person.follow("operations")
    assert "6000" in out
    with CaseIndex.open(person.archive) as index:
        assert len(index.studies([])) == 32 + 1


def test_what_is_not_run_is_listed() -> None:
    marked = [one for page in PAGES for one in blocks(page) if one.not_run]
    assert Counter((one.page, one.not_run) for one in marked) == NOT_RUN
    assert {one.kind for one in marked} == {"sh"}


@pytest.mark.parametrize("page", PAGES)
def test_commands_have_the_options_that_pages_give_them(page: str) -> None:
    """Also of the pages that only the long tests follow."""
    for block in blocks(page):
        if block.kind == "sh":
            for line in commands_of(block):
                if line.startswith("medsiglip ") and not set(line) & set("|<>&;$("):
                    parsed(shlex.split(line)[1:])


@pytest.mark.parametrize(
    "block", [one for page in PAGES for one in blocks(page) if one.not_run], ids=lambda one: one.page
)
def test_what_is_not_run_names_what_there_is(block: Block) -> None:
    services = compose()["services"]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in commands_of(block):
        words = shlex.split(line.split(" > ")[0].split(" < ")[0])
        if words[0] == "make":
            assert words[1] in targets, line
        elif words[0] == "medsiglip":
            parsed(words[1:])
        elif words[:2] == ["docker", "compose"] and words[2] in ("up", "stop", "exec", "run"):
            named = [word for word in words[3:] if word in services]
            assert named or words[2] == "up", line
            if words[2] == "up":
                assert all(word in services for word in words[3:] if not word.startswith("--")), line
            if words[2] == "exec" and words[4] == "medsiglip":
                parsed(words[5:])
        elif words[:2] == ["pip", "install"]:
            extras = re.findall(r"\[(\w+)\]", line)
            assert extras, line
            assert set(extras) <= set(PROJECT["optional-dependencies"]), line


def parsed(words: list[str]) -> None:
    """Fail unless the words are a command of `medsiglip` with options that it has."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("medsiglip", words, obj=Invocation())
    while hasattr(command, "commands"):
        left = [*context._protected_args, *context.args]
        if not left and command.invoke_without_command:
            return
        name, command, words = command.resolve_command(context, left)
        context = command.make_context(name, words, parent=context)


@pytest.mark.parametrize(
    "block", [one for page in PAGES for one in blocks(page) if one.kind == "toml"], ids=lambda one: one.page
)
def test_toml_is_read(block: Block, tmp_path: Path) -> None:
    content, file = parse_toml(block.text.encode()), tmp_path / "page.toml"
    file.write_text(block.text)
    if content.get("kind") in ("findings", "classes", "names"):
        assert load_prompt_set(file).labels
    elif not any(isinstance(value, dict) for value in content.values()):  # of settings
        read = read_settings(config=file)
        assert set(content) <= set(type(read).model_fields), "settings that there are"
        assert {name for name in content if getattr(read, name) is None} == set()
    elif any("kind" in table for table in content.values()):
        assert set(read_generators(read_settings(generators=file))) == set(content)
    else:
        assert set(read_rules(block.text.encode(), file.name)) == set(content)

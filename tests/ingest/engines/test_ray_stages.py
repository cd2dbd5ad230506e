"""What nodes do, without a cluster: portions, blocks, failures, and what is loaded where."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from medsiglip.checkpoint import open_checkpoint
from medsiglip.errors import ModelError
from medsiglip.ingest.engines import ray_cluster, ray_engine, ray_stages
from medsiglip.ingest.engines.choice import engine_of, require_engine
from medsiglip.ingest.engines.engine import EngineOptions
from medsiglip.ingest.engines.local import LocalEngine
from medsiglip.ingest.engines.node_encoder import NodeEncoder
from medsiglip.ingest.engines.ray_cluster import RayCluster
from medsiglip.ingest.engines.ray_engine import RayEngine, portions
from medsiglip.ingest.engines.ray_stages import EmbeddedPortion, EncodeBlock, RenderedPortion, Stage
from medsiglip.ingest.errors import IngestError
from medsiglip.ingest.files.walk import FoundFile, walk_files
from medsiglip.ingest.header.header import Header
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.scan.scan import scan_file
from medsiglip.ingest.units.plan import Unit, plan
from medsiglip.ingest.workers.pool import Worker
from tests.ingest.engines.grid_encoder import GridEncoder, make_grid_encoder


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory, write_dicom: Any, write_series: Any) -> list[Unit]:
    folder = tmp_path_factory.mktemp("units")
    write_series(folder / "ct", 5)
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 4000, (24, 20)).astype(np.uint16)
        write_dicom(folder / f"{number}.dcm", pixels, SOPInstanceUID=f"2.25.44{number}")
    found = sorted((f for f in walk_files([folder]) if isinstance(f, FoundFile)), key=lambda f: f.path)
    headers = [scan_file(one, SecretKey(bytes(32), "keep")) for one in found]
    made = plan(one for one in headers if isinstance(one, Header))
    assert [len(unit.headers) for unit in made].count(1) == 4
    return made


@pytest.fixture
def stage(model: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(ray_stages, "_node", lambda: "10.1.0.7")
    worker = Worker(model.image_size, "medsiglip-eval")
    monkeypatch.setattr(ray_stages, "_worker", lambda size, profile: worker)
    yield Stage(model.image_size, "medsiglip-eval", model.dimension, False)
    worker.release()


def embedded(units: list[Unit], stage: Stage, make_encoder: Any = make_grid_encoder) -> EmbeddedPortion:
    """A portion, as it comes from the two stages."""
    beats: list[int] = []
    block = ray_stages.render_block(
        ray_stages.unit_block(7, units), stage=stage, beat=lambda: beats.append(1)
    )
    encode = EncodeBlock(pickle.dumps(make_encoder), stage, lambda: beats.append(1))
    (packed,) = ray_stages.portions_of(encode(block))
    assert len(beats) >= 2
    portion: EmbeddedPortion = pickle.loads(packed)
    assert portion.number == 7
    return portion


def test_stages_give_what_the_local_engine_gives(units: list[Unit], stage: Stage, model: Any) -> None:
    options = EngineOptions(model, "medsiglip-eval", 1, keeps_inputs=True)
    local = LocalEngine(options, make_grid_encoder)
    every = [one for portion in local.embed(units, lambda: None) for one in portion]
    expected = {one.unit.headers[0].path: one for one in every}
    portion = embedded(units, replace(stage, keeps_inputs=True))
    made = RayEngine("ray", options, make_grid_encoder)._embedded(units, portion)
    assert [one.unit for one in made] == units
    for one in made:
        other = expected[one.unit.headers[0].path]
        assert (one.rendered.files, one.rendered.images) == (other.rendered.files, other.rendered.images)
        np.testing.assert_array_equal(one.rendered.inputs, other.rendered.inputs)
        np.testing.assert_allclose(one.vectors, other.vectors, atol=1e-6)


def test_every_unit_is_in_one_portion(units: list[Unit], model: Any) -> None:
    for cores in (1, 2, 64):
        made = list(portions(units, model.image_size, cores))
        assert [unit for portion in made for unit in portion] == units
    assert len(list(portions(units, model.image_size, 64))) == len(units)


def test_a_file_that_only_a_node_misses_ends_the_run(
    units: list[Unit], stage: Stage, model: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine = RayEngine("ray", EngineOptions(model, "medsiglip-eval"), make_grid_encoder)
    header = units[0].headers[0]
    gone = replace(
        units[0], headers=(replace(header, path=str(tmp_path / "Doe^Jane.dcm")), *units[0].headers[1:])
    )
    portion = embedded([gone, units[1]], stage)
    assert portion.rendered.missing == (str(tmp_path / "Doe^Jane.dcm"),)
    made = engine._embedded([gone, units[1]], portion)  # gone for all: rejected, as by the local engine
    assert made[0].rendered.files[0].code or made[0].rendered.files[-1].code
    assert len(made[1].vectors) == len(made[1].rendered.images) > 0
    (tmp_path / "Doe^Jane.dcm").touch()
    with pytest.raises(IngestError, match=r"node 10\.1\.0\.7") as caught:
        engine._embedded([gone, units[1]], portion)
    assert caught.value.code == "file-not-reachable"
    assert "Doe" not in str(caught.value)
    monkeypatch.setattr(ray_engine, "is_reachable", lambda path: True)
    missing = portion.rendered._replace(missing=("/data/Doe^Jane/1.dcm",))
    with pytest.raises(IngestError) as below_root:
        engine._embedded([gone, units[1]], replace(portion, rendered=missing))
    assert not {"Doe", "Jane"} & set(re.findall(r"\w+", str(below_root.value)))


def fail_with_code() -> Any:
    raise ModelError("checkpoint-not-found", "There is no checkpoint.")


def fail_with_secret() -> Any:
    raise ValueError("Doe^Jane")


def test_failures_of_nodes_are_errors_of_the_run(units: list[Unit], stage: Stage, model: Any) -> None:
    engine = RayEngine("ray", EngineOptions(model, "medsiglip-eval"), make_grid_encoder)
    with pytest.raises(ModelError, match=r"On the node 10\.1\.0\.7: There is no checkpoint") as caught:
        engine._embedded(units, embedded(units, stage, fail_with_code))
    assert caught.value.code == "checkpoint-not-found"
    with pytest.raises(IngestError, match="ValueError") as hidden:
        engine._embedded(units, embedded(units, stage, fail_with_secret))
    # Not `encoder-failed`, after which a worker of the service ends: its own device is well.
    assert hidden.value.code == "node-encoder-failed"
    assert "Doe" not in str(hidden.value)


@pytest.mark.parametrize("is_rendered", [False, True])
def test_a_node_of_another_version_unpickles_nothing(
    units: list[Unit], stage: Stage, model: Any, is_rendered: bool
) -> None:
    block = ray_stages.unit_block(7, units)
    encode = EncodeBlock(pickle.dumps(make_grid_encoder), stage, lambda: None)
    if is_rendered:
        block = ray_stages.render_block(block, stage=stage, beat=lambda: None)
    name = "rendered" if is_rendered else "units"
    for column, value in (("version", "0.0.1"), (name, b"no pickle")):
        place = block.schema.get_field_index(column)
        block = block.set_column(place, block.schema.field(column), pa.array([value], block[column].type))
    if not is_rendered:
        block = ray_stages.render_block(block, stage=stage, beat=lambda: None)
    (packed,) = ray_stages.portions_of(encode(block))
    engine = RayEngine("ray", EngineOptions(model, "medsiglip-eval"), make_grid_encoder)
    with pytest.raises(IngestError, match=r"node 10\.1\.0\.7") as other:
        engine._embedded(units, pickle.loads(packed))
    assert other.value.code == "other-version"


class SlowEncoder(GridEncoder):
    """A batch of two images at a time."""

    batch_size = 2

    def encode_images(self, images: Any) -> Any:
        assert len(images) <= self.batch_size
        DONE.append(len(images))
        return super().encode_images(images)


def make_slow_encoder() -> Any:
    return SlowEncoder()


def end_process() -> Any:
    raise SystemExit(1)


DONE: list[int] = []


def test_each_batch_is_a_sign_of_life_and_a_beginning_is_none(units: list[Unit], stage: Stage) -> None:
    rendered = ray_stages.render_block(ray_stages.unit_block(7, units), stage=stage, beat=lambda: None)
    beats: list[int] = []
    DONE.clear()
    encode = EncodeBlock(pickle.dumps(make_slow_encoder), stage, lambda: beats.append(sum(DONE)))
    (packed,) = ray_stages.portions_of(encode(rendered))
    assert beats == np.cumsum(DONE).tolist()
    assert len(beats) > 2
    expected = embedded(units, stage)
    np.testing.assert_array_equal(pickle.loads(packed).vectors, expected.vectors)
    beats.clear()
    with pytest.raises(SystemExit):
        EncodeBlock(pickle.dumps(end_process), stage, lambda: beats.append(1))(rendered)
    assert not beats


def test_portions_travel_as_pickles() -> None:
    portion = RenderedPortion((), (), (), "n", failure=ray_stages.Failure("ingest", "a", "b"))
    assert pickle.loads(pickle.dumps(portion)) == portion


def test_a_node_with_other_weights_says_so() -> None:
    with pytest.raises(IngestError) as caught:
        NodeEncoder("tiny", "0" * 64, "medsiglip-eval")()
    assert caught.value.code == "other-checkpoint"


@pytest.mark.parametrize(("given", "device"), [(["0"], "cuda"), ([], "cpu")])
def test_a_node_uses_the_gpu_that_it_was_given(
    monkeypatch: pytest.MonkeyPatch, given: list[str], device: str
) -> None:
    made: list[str] = []
    context = SimpleNamespace(get_accelerator_ids=lambda: {"GPU": given})
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(get_runtime_context=lambda: context))
    without_torch = SimpleNamespace(Encoder=lambda checkpoint, *, device, **options: made.append(device))
    monkeypatch.setitem(sys.modules, "medsiglip.encoder", without_torch)
    NodeEncoder("tiny", open_checkpoint("tiny").hash, "medsiglip-eval")()
    assert made == [device]


@pytest.mark.parametrize("name", ["dask", "ray://", "ray://host", "http://host:1", "ray://a b:1", "local "])
def test_engines_that_there_are_not(name: str, model: Any) -> None:
    with pytest.raises(IngestError) as caught:
        require_engine(name)
    assert caught.value.code == "unknown-engine"


def test_names_of_engines(model: Any) -> None:
    options = EngineOptions(model, "medsiglip-eval")
    assert isinstance(engine_of("local", options, make_grid_encoder), LocalEngine)
    for name in ("ray", "ray://10.1.0.7:10001", "ray://[::1]:10001", "ray://ray-head.example:10001"):
        assert isinstance(engine_of(name, options, make_grid_encoder), RayEngine)


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(IngestError, match=r"medsiglip\[ray\]") as caught:
        ray_cluster.import_ray()
    assert caught.value.code == "no-ray"


@pytest.mark.parametrize("port", [1, 65_536])
def test_a_cluster_that_is_not_there_is_named(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "import_ray", lambda: SimpleNamespace(is_initialized=lambda: False))
    with pytest.raises(IngestError, match=f"ray://127.0.0.1:{port} cannot be reached") as caught:
        RayCluster(f"ray://127.0.0.1:{port}", None).connect()
    assert caught.value.code == "ray-unreachable"


def test_ray_is_loaded_by_nothing_but_its_engine() -> None:
    code = (
        "import sys, medsiglip.ingest.engines.ray_engine, medsiglip.ingest.engines.ray_crew, "
        "medsiglip.ingest.workers.worker, medsiglip.ingest.run.pipeline, medsiglip.api.archive.ingestion;"
        "print([name for name in ('ray', 'grpc', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

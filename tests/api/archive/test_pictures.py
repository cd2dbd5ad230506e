from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from medsiglip.api.archive.files import parquet_writer
from medsiglip.api.cli.contact_sheet import Row, Tile, write_contact_sheet
from tests.api.conftest import Home, Phantoms, run


def test_embeddings_are_those_of_the_archive(home: Home, phantoms: Phantoms, tmp_path: Path) -> None:
    out = tmp_path / "new" / "embeddings.parquet"
    answer = run("--home", tmp_path / "home", "--json", "embed", phantoms.dicom, "--out", out).json
    table = pq.read_table(out)
    assert table.column_names == ["path", "sop_instance_uid", "frame", "embedding"]
    assert table.schema.field("embedding").type.value_type == pa.float32()
    assert answer["images"] == table.num_rows == home.report["images"]
    vectors = np.stack(table["embedding"].to_numpy(zero_copy_only=False))
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    home.run("index", "export", "--out", tmp_path / "exported")
    stored = pq.read_table(tmp_path / "exported" / "images.parquet").to_pylist()
    by_image = {(row["sop_instance_uid"], row["frame"]): np.array(row["embedding"]) for row in stored}
    for row, vector in zip(table.to_pylist(), vectors, strict=True):
        assert by_image[row["sop_instance_uid"], row["frame"]] @ vector > 0.9995


def test_nothing_to_embed_is_a_failure_and_leaves_no_file(tmp_path: Path) -> None:
    out = tmp_path / "embeddings.parquet"
    (tmp_path / "in").mkdir()
    empty = run("--home", tmp_path / "home", "--json", "embed", tmp_path / "in", "--out", out)
    assert empty.code == 1
    assert empty.error["code"] == "nothing-to-embed"
    (tmp_path / "in" / "text.dcm").write_text("text")
    (tmp_path / "in" / "notes.txt").write_text("text")
    failed = run("--home", tmp_path / "home", "--json", "embed", tmp_path / "in", "--out", out)
    assert failed.code == 1
    assert failed.error["code"] == "nothing-to-embed"
    for part in ("2 files", "1 not-dicom", "1 not-an-image"):
        assert part in failed.error["message"]
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_places_where_nothing_can_be_written_are_named(
    home: Home, phantoms: Phantoms, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    inside = tmp_path / "file" / "inside"
    for words in (
        ("embed", phantoms.dicom, "--out", inside / "x.parquet"),
        ("render", phantoms.dicom, "--out", inside),
        ("index", "export", "--out", inside),
    ):
        failed = home.run(*words)
        assert failed.error["code"] == "cannot-create"
        assert f"{tmp_path / 'file'} is a file" in failed.error["message"]
    assert home.run("embed", phantoms.dicom, "--out", tmp_path).error["code"] == "not-a-file"
    for name in ("catalog.db", "secret.key"):
        held = (home.path / name).read_bytes()
        failed = home.run("embed", phantoms.dicom, "--out", home.path / name)
        assert failed.error["code"] == "cannot-create"
        assert (home.path / name).read_bytes() == held


def test_pngs_are_what_the_model_is_shown(phantoms: Phantoms, tmp_path: Path) -> None:
    from medsiglip.ingest.workers.render_files import Rendered, render_files

    (tmp_path / "text.dcm").write_text("text")
    file = sorted(phantoms.dicom.rglob("*.dcm"))[0]
    answer = run("--json", "render", file, tmp_path / "text.dcm", "--out", tmp_path / "out").json
    [image] = answer["images"]
    assert set(image) >= {"path", "png", "sop_instance_uid", "frame", "rendering", "warnings"}
    assert [entry["code"] for entry in answer["quarantined"]] == ["not-dicom"]
    [rendered] = render_files([file])
    assert isinstance(rendered, Rendered)
    assert np.array_equal(np.asarray(Image.open(image["png"])), rendered.pixels)
    lines = (tmp_path / "out" / "images.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [image]


def test_slices_of_a_volume_are_limited(phantoms: Phantoms, tmp_path: Path) -> None:
    series = sorted(phantoms.dicom.rglob("*.dcm"))
    folder = next(file.parent for file in series if len(list(file.parent.glob("*.dcm"))) > 3)
    count = len(list(folder.glob("*.dcm")))
    for command in ("render", "embed"):
        for limit, expected in ((2, 2), ("all", count)):
            out = tmp_path / f"{command}-{limit}{'' if command == 'render' else '.parquet'}"
            answer = run(
                *("--home", tmp_path / "home", "--json", command, folder, "--out", out),
                *("--max-slices", limit, "--magnification", 5),
            ).json
            found = answer["images"] if command == "embed" else len(answer["images"])
            assert found == expected
    refused = run("--json", "render", folder, "--out", tmp_path / "none", "--max-slices", "few")
    assert (refused.code, refused.error["code"]) == (2, "usage")


def test_a_parquet_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    schema = pa.schema([("number", pa.int32())])
    path = tmp_path / "table.parquet"

    def write(fails: bool) -> None:
        with parquet_writer(path, schema) as writer:
            writer.write_table(pa.table({"number": [1, 2]}, schema=schema))
            if fails:
                raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write(fails=True)
    assert list(tmp_path.iterdir()) == []
    write(fails=False)
    assert pq.read_table(path)["number"].to_pylist() == [1, 2]
    with pytest.raises(RuntimeError, match="stop"):
        write(fails=True)
    assert [path] == list(tmp_path.iterdir())
    assert pq.read_table(path).num_rows == 2


def test_a_contact_sheet_shows_the_query_framed_and_its_neighbours(tmp_path: Path) -> None:
    red = np.zeros((40, 80, 3), np.uint8)
    red[..., 0] = 255
    grey = np.full((50, 50), 99, np.uint8)
    rows = [
        Row("first", (Tile(red, ("query",), is_query=True), Tile(grey, ("score 0.5", "nodule")))),
        Row("second", (Tile("some words", ("query in words",), is_query=True),)),
    ]
    write_contact_sheet(rows, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert ((sheet == (255, 0, 0)).all(axis=2)).sum() == 224 * 112
    assert ((sheet == (99, 99, 99)).all(axis=2)).sum() >= 224 * 224
    frames = (sheet == (0x0B, 0x66, 0xC3)).all(axis=2).sum()
    assert frames == 2 * (230 * 230 - 224 * 224)

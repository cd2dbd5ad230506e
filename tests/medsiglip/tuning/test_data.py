from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medsiglip.errors import ModelError
from medsiglip.tuning.data import read_pairs, read_pictures
from tests.medsiglip.conftest import write_squares


def test_split_column_is_followed(tmp_path: Path) -> None:
    pairs = read_pairs(write_squares(tmp_path, 5, extra="split"))
    expected = [int(path.stem) % 5 == 0 for path in pairs.paths]
    assert pairs.held_out.tolist() == expected
    assert pairs.captions[0] == ("a red square", "red square on a page")


def test_without_a_split_no_patient_is_on_both_sides(tmp_path: Path) -> None:
    write_squares(tmp_path, 10)
    for seed in range(5):
        pairs = read_pairs(tmp_path, validation_fraction=0.2, seed=seed)
        patients = np.array([int(path.stem) // 2 for path in pairs.paths])
        assert not set(patients[pairs.held_out]) & set(patients[~pairs.held_out])
        assert pairs.held_out.sum() == 12


@pytest.mark.parametrize(
    ("table", "code", "named"),
    [
        (None, "metadata-missing", "metadata.csv"),
        ("file,caption\n0.png,red\n", "column-missing", "path"),
        ("path,text\n0.png,red\n", "column-missing", "caption"),
        ("path,caption\n0.png,  \n", "caption-empty", "row 2"),
        ("path,caption\n0.png\n", "caption-empty", "row 2"),
        ("path,caption\n0.png,red\n9.png,red\n", "picture-missing", "9.png"),
        ("path,caption\n,red\n", "picture-missing", "row 2"),
        ("path,caption\n0.png,red\n1.png,?!\n", "caption-empty", "row 3 has a caption without a word"),
        ("path,caption\n0.png,_ - _\n", "caption-empty", "row 2 has a caption without a word"),
        ("path,caption\n0.png,  \n", "caption-empty", "row 2 has an empty caption"),
        ("path,caption,split\n0.png,red,test\n", "split-unknown", "'test'"),
        ("path,caption,split\n0.png,red,train\n1.png,red,\n", "split-ambiguous", "1.png"),
        ("path,caption,split\n0.png,red,train\n0.png,rot,val\n", "split-ambiguous", "0.png"),
        ("path,caption\n0.png,red\n1.png,red\n2.png,red\n", "too-few-pairs", "validation"),
        ("path,caption\n", "too-few-pairs", "training"),
        (b"path,caption\n0.png,\xff\xfe\n", "metadata-unreadable", "metadata.csv"),
    ],
)
def test_bad_metadata_is_one_clear_error(
    table: str | bytes | None, code: str, named: str, tmp_path: Path
) -> None:
    for name in ("0.png", "1.png", "2.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    if isinstance(table, bytes):
        (tmp_path / "metadata.csv").write_bytes(table)
    elif table is not None:
        (tmp_path / "metadata.csv").write_text(table)
    with pytest.raises(ModelError) as caught:
        read_pairs(tmp_path)
    assert caught.value.code == code
    assert named in str(caught.value)


def test_unreadable_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG and then nothing")
    with pytest.raises(ModelError, match=r"broken\.png") as caught:
        read_pictures([tmp_path / "broken.png"], np.empty((1, 8, 8, 3), np.uint8), "medsiglip-eval")
    assert caught.value.code == "picture-unreadable"


def test_pictures_are_read_as_in_an_ingest(tmp_path: Path) -> None:
    """Palettes looked up, transparency dropped, 12 bits in 16 stretched, and turned as EXIF says."""
    halves = np.full((8, 8), 4000, np.uint16)
    halves[:4] = 96
    exif = Image.Exif()
    exif[0x0112] = 3  # to be turned by 180 degrees
    Image.fromarray(halves).save(tmp_path / "deep.png", exif=exif)
    Image.new("RGB", (8, 8), (10, 200, 30)).quantize(4).save(tmp_path / "palette.png")
    Image.new("RGBA", (8, 8), (10, 200, 30, 0)).save(tmp_path / "transparent.png")
    out = np.empty((3, 8, 8, 3), np.uint8)
    read_pictures([tmp_path / f"{n}.png" for n in ("deep", "palette", "transparent")], out, "medsiglip-eval")
    assert out[:, 1, 4].tolist() == [[255, 255, 255], [10, 200, 30], [10, 200, 30]]
    assert out[:, 6, 4].tolist() == [[0, 0, 0], [10, 200, 30], [10, 200, 30]]

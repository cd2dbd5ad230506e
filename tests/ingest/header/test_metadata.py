from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medsiglip.ingest.errors import IngestError
from medsiglip.ingest.header.metadata import PictureMetadata, read_metadata


def write(tmp_path: Path, text: Any) -> Any:
    path = tmp_path / "metadata.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_column(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "\ufeffpath,patient_id,study_id,modality,body_part,view,age,sex,split,caption,label,label:nodule,note,site\n"
        'a/b.png,P1,S1,dx,CHEST,PA,61,f,train,"clear, lungs",pneumonia,0,x,North\n'
        f"{tmp_path}/c.png,,,,,,,,,,,1,\n",
    )
    rows = read_metadata(path)
    assert rows[str(tmp_path / "a/b.png")] == PictureMetadata(
        *("P1", "S1", "DX", "CHEST", "PA", 61.0, "F", "train"),
        labels={"pneumonia": 1.0, "nodule": 0.0},
        class_name="pneumonia",
        report="clear, lungs",
        site="North",
    )
    assert rows[str(tmp_path / "c.png")] == PictureMetadata(labels={"nodule": 1.0})


def test_paths_count_from_the_csv(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    assert list(read_metadata(write(tmp_path / "sub", "path\n../x.png\n"))) == [str(tmp_path / "x.png")]


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("file,label\na.png,x\n", "metadata-no-path-column", "`path`"),
        ("", "metadata-no-path-column", "`path`"),
        ("path,age\na.png,60\nb.png,sixty\n", "metadata-bad-row", "line 3"),
        ("path,age\na.png,-4\n", "metadata-bad-row", "line 2"),
        ("path,age\na.png,nan\n", "metadata-bad-row", "line 2"),
        ("path,age\na.png,999\n", "metadata-bad-row", "line 2 has an age that is not a number of years"),
        ("path,sex\na.png,unsure\n", "metadata-bad-row", "line 2"),
        ("path,label:x\na.png,yes\n", "metadata-bad-row", "label:x"),
        ("path,label\n,x\n", "metadata-bad-row", "line 2"),
        ("path\na.png,extra\n", "metadata-bad-row", "line 2"),
        ("path,label:x,sex\na.png\nb.png,1,unsure\n", "metadata-bad-row", "line 3"),
        ("\npath\na.png\n", "metadata-no-path-column", "`path`"),
        ("path\na.png\na.png\n", "metadata-duplicate-path", "line 3"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: Any, code: Any, told: Any) -> None:
    with pytest.raises(IngestError, match=told) as caught:
        read_metadata(write(tmp_path, text))
    assert caught.value.code == code


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(IngestError) as caught:
        read_metadata(tmp_path / "nowhere.csv")
    assert caught.value.code == "metadata-unreadable"
    (tmp_path / "binary.csv").write_bytes(b"path\n\xff\xfe\x00")
    with pytest.raises(IngestError) as caught:
        read_metadata(tmp_path / "binary.csv")
    assert caught.value.code == "metadata-unreadable"

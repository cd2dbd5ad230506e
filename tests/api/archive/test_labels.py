from __future__ import annotations

from pathlib import Path

import pytest

from medsiglip.api.archive.labels import read_labels
from medsiglip.api.errors import ServiceError
from tests.api.conftest import Home, Phantoms


def labels(path: Path, text: str) -> dict[tuple[str, str], float | None]:
    path.write_text(text, encoding="utf-8")
    return {(record.key, record.name): record.value for record in read_labels(path).records}


def test_columns_of_numbers_classes_and_bare_names(tmp_path: Path) -> None:
    csv = tmp_path / "labels.csv"
    assert labels(csv, "\ufeffsop_instance_uid,label:mass\n1.2,1\n1.3,0\n1.4,\n") == {
        ("1.2", "mass"): 1.0,
        ("1.3", "mass"): 0.0,
    }
    assert labels(csv, "study_instance_uid,label\n1.2,normal\n1.3,mass\n") == {
        ("1.2", "normal"): 1.0,
        ("1.3", "mass"): 1.0,
    }
    assert labels(csv, "study_instance_uid,mass,nodule,age\n1.2,1,0,50\n1.3,,,60\n") == {
        ("1.2", "mass"): 1.0,
        ("1.2", "nodule"): 0.0,
    }
    assert labels(csv, "study_instance_uid,label:mass,remark\n1.2,1,seen\n") == {("1.2", "mass"): 1.0}
    assert labels(csv, "path,label\na/b.png,mass\n/c.png,mass\n") == {
        (str(tmp_path / "a" / "b.png"), "mass"): 1.0,
        ("/c.png", "mass"): 1.0,
    }


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("name,label\na,mass\n", "study_instance_uid"),
        ("path\na\n", "label:<name>"),
        ("path,label:mass\na,2\n", "line 2"),
        ("path,label:mass\na,1\n,1\n", "line 3"),
        ("path,label:mass\na,\n", "no label"),
        ("path,label:\na,1\n", "without a name"),
        ("path,label\na,mass,more\n", "line 2"),
        ("path,mass\na,1\nb,yes\n", "line 3 has another value .* in column `mass`"),
        ("path,mass,remark\na,1,seen\n", "line 2 has another value .* in column `remark`.*label:<name>"),
        ('path,label:mass\n\n"a\nb",1\nc,2\n', "line 5 has another value .* in column `label:mass`"),
        ("path,age,sex\na,50,F\n", "label:<name>"),
        (f"path,label:{'a' * 4097}\na,1\n", "a column for a label of more than 4096 characters"),
        (f"path,label\na,{'a' * 4097}\n", "line 2 has a label of more than 4096 characters"),
        ("path,label:a,label:b\na,1\nb,,2\n", "line 3 has another value .* in column `label:b`"),
        ("path,label:a\n\n", "holds no label"),
        ("", "study_instance_uid"),
    ],
)
def test_a_file_that_cannot_be_used_says_where(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ServiceError, match=named) as caught:
        labels(tmp_path / "labels.csv", text)
    assert caught.value.code == "bad-labels"
    assert "seen" not in str(caught.value)


def test_files_that_are_no_csv(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"path,label\n\xff\xfe\n")
    for name in ("binary.csv", "absent.csv"):
        with pytest.raises(ServiceError, match=name) as caught:
            read_labels(tmp_path / name)
        assert caught.value.code == "labels-unreadable"


def test_rows_that_name_nothing_are_reported(own_home: Home, phantoms: Phantoms, tmp_path: Path) -> None:
    study = next(iter(phantoms.by_study))
    (tmp_path / "labels.csv").write_text(f"study_instance_uid,label:seen\n{study},1\n1.2.3,1\n1.2.4,0\n")
    answer = own_home.run("label", "import", tmp_path / "labels.csv").json
    assert answer["rows"] == 3
    assert answer["matched"] == 1
    assert answer["unmatched"] == ["1.2.3", "1.2.4"]
    assert "1.2.3" in own_home.show("label", "import", tmp_path / "labels.csv").out
    found = own_home.run("study", "list", "--where", "label:seen=1").json["studies"]
    assert [one["study_instance_uid"] for one in found] == [study]


def test_a_file_that_names_nothing_of_the_archive_fails(own_home: Home, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("study_instance_uid,label:seen\n1.2.3,1\n1.2.4,0\n")
    failed = own_home.run("label", "import", tmp_path / "labels.csv")
    assert failed.code == 1
    assert failed.error["code"] == "labels-unmatched"
    assert "1.2.3" in failed.error["message"]
    assert "seen" not in {label["label"] for label in own_home.run("label", "list").json["labels"]}


def test_both_kinds_of_csv_read_label_columns_alike(tmp_path: Path) -> None:
    from medsiglip.ingest.errors import IngestError
    from medsiglip.ingest.header.metadata import read_metadata

    csv = tmp_path / "labels.csv"
    csv.write_text("path,label,label:mass,label: nodule \na.png,naevus,1.0,0\nb.png,,,1\n")
    stored = {
        (path, name): value for path, row in read_metadata(csv).items() for name, value in row.labels.items()
    }
    assert {(record.key, record.name): record.value for record in read_labels(csv).records} == stored
    assert len(stored) == 4
    for text, named in (("path,label:mass\na,2\n", "`label:mass`"), ("path,label:\na,1\n", "without a name")):
        csv.write_text(text)
        for read, error in ((read_labels, ServiceError), (read_metadata, IngestError)):
            with pytest.raises(error, match=named):
                read(csv)


def test_a_corrected_class_replaces_the_earlier_one(
    own_home: Home, phantoms: Phantoms, tmp_path: Path
) -> None:
    first, second = list(phantoms.by_study)[:2]
    csv = tmp_path / "classes.csv"
    csv.write_text(f"study_instance_uid,label\n{first},cat\n{second},dog\n")
    own_home.run("label", "import", csv)
    csv.write_text(f"study_instance_uid,label\n{first},dog\n{second},cat\n")
    own_home.run("label", "import", csv)
    shown = own_home.run("study", "show", first).json["labels"]
    assert shown["dog"] == 1
    assert "cat" not in shown


def test_a_class_leaves_no_trace_when_one_row_changes(
    own_home: Home, phantoms: Phantoms, tmp_path: Path
) -> None:
    study = next(iter(phantoms.by_study))
    csv = tmp_path / "classes.csv"
    before = own_home.run("study", "show", study).json["labels"]
    csv.write_text(f"study_instance_uid,label,label:x\n{study},b,0\n")
    own_home.run("label", "import", csv)
    csv.write_text(f"study_instance_uid,label\n{study},z\n")
    own_home.run("label", "import", csv)
    assert own_home.run("study", "show", study).json["labels"] == {**before, "x": 0, "z": 1}

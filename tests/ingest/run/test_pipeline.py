from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydicom
import pydicom.encaps
import pytest
from PIL import Image

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.ingest.errors import IngestError, InterruptedIngestError
from medsiglip.ingest.run import commits
from medsiglip.ingest.run.commits import ENCODED_TOGETHER, FIRST_TOGETHER
from medsiglip.ingest.run.pipeline import IngestOptions, ingest
from medsiglip.ingest.units.plan import PlanOptions
from medsiglip.ingest.workers import unit_rendering
from tests.repository import ROOT

PIXELS = np.arange(256, dtype=np.uint16).reshape(16, 16)


@pytest.fixture
def home(tmp_path: Path) -> Any:
    return tmp_path / "home"


@pytest.fixture
def run(home: Any, model: Any, encoder: Any) -> Any:
    def run(*paths: Any, metadata: Any = None, **options: Any) -> Any:
        with CaseIndex.open(home) as index:
            report = ingest(
                paths, index, model, lambda: encoder, IngestOptions(metadata=metadata, **options)
            ).to_json()
            verification = index.verify()
        assert verification.ok, verification.problems
        counted = report["files_embedded"] + report["files_unchanged"]
        assert report["files"] == counted + len(report["skipped"]) + len(report["quarantined"])
        return report

    return run


def codes(report: Any, outcome: Any) -> Any:
    return {os.path.basename(entry["path"]): entry["code"] for entry in report[outcome]}


def corpus(folder: Any, write_dicom: Any, write_series: Any) -> Any:
    """12 embedded files in 4 series, a copy, a skipped and two quarantined files."""
    write_series(folder / "ct", 5)
    write_series(folder / "mr", 4, "MR", uid=8)
    for n in range(2):
        write_dicom(folder / f"dx{n}.dcm", PIXELS + n, SOPInstanceUID=f"2.25.5{n}", PatientID=f"D{n}")
    Image.fromarray(PIXELS.astype(np.uint8)).save(folder / "picture.png")
    shutil.copy(folder / "dx0.dcm", folder / "dx0-copy.dcm")
    (folder / "notes.txt").write_text("nothing to see")
    (folder / "text.dcm").write_text("not DICOM at all")
    whole = (folder / "dx1.dcm").read_bytes()
    (folder / "cut.dcm").write_bytes(whole.replace(b"2.25.51", b"2.25.59")[:-50])
    return folder


def test_every_file_is_accounted_for(tmp_path: Path, run: Any, write_dicom: Any, write_series: Any) -> None:
    folder = corpus(tmp_path / "in", write_dicom, write_series)
    report = run(folder)
    assert (report["files"], report["files_embedded"], report["files_unchanged"]) == (16, 12, 1)
    assert codes(report, "skipped") == {"notes.txt": "not-an-image"}
    assert codes(report, "quarantined") == {"text.dcm": "not-dicom", "cut.dcm": "truncated"}
    assert (report["embedded"], report["unchanged"], report["images"]) == (12, 0, 12)
    assert (report["series"], report["instances"]) == (4, 12)
    assert report["studies"] == 4
    assert "Doe" not in json.dumps(report)


def test_a_second_run_embeds_nothing_and_tells_the_same(
    tmp_path: Path, run: Any, write_dicom: Any, write_series: Any
) -> None:
    folder = corpus(tmp_path / "in", write_dicom, write_series)
    first, second = run(folder), run(folder)
    assert (second["files_embedded"], second["files_unchanged"], second["embedded"]) == (0, 13, 0)
    assert second["unchanged"] == first["images"]
    for same in ("files", "studies", "series", "instances", "images", "skipped", "quarantined", "space"):
        assert second[same] == first[same], same


def test_a_touched_file_is_hashed_and_found_unchanged(tmp_path: Path, run: Any, write_dicom: Any) -> None:
    path = write_dicom(tmp_path / "in" / "x.dcm", PIXELS)
    run(path)
    os.utime(path, (1, 1))
    assert (run(path)["embedded"], run(path)["files_unchanged"]) == (0, 1)


def test_a_moved_file_is_known_by_its_uid_and_pixels(tmp_path: Path, run: Any, write_dicom: Any) -> None:
    path = write_dicom(tmp_path / "in" / "x.dcm", PIXELS)
    run(path)
    path.rename(tmp_path / "in" / "y.dcm")
    report = run(tmp_path / "in")
    assert (report["files_unchanged"], report["embedded"], report["images"]) == (1, 0, 1)


def test_the_same_uid_with_other_pixels_is_kept_beside(
    tmp_path: Path, home: Any, run: Any, write_dicom: Any
) -> None:
    run(write_dicom(tmp_path / "in" / "a.dcm", PIXELS))
    write_dicom(tmp_path / "in" / "b.dcm", PIXELS + 9)
    report = run(tmp_path / "in")
    assert (report["embedded"], report["instances"], report["images"]) == (1, 2, 2)
    assert ["2.25.1" in warning for warning in report["warnings"]] == [True]
    with CaseIndex.open(home) as index:
        assert len(index.has_instance("2.25.1")) == 2


def test_a_copy_of_a_broken_file_shares_its_fate(tmp_path: Path, run: Any, write_dicom: Any) -> None:
    path = write_dicom(tmp_path / "in" / "a.dcm", PIXELS, Rows=999)
    shutil.copy(path, tmp_path / "in" / "b.dcm")
    report = run(tmp_path / "in")
    code = "inconsistent-pixels"  # the pixel element is whole: it is the header that lies
    assert codes(report, "quarantined") == {"a.dcm": code, "b.dcm": code}
    assert codes(run(tmp_path / "in"), "quarantined") == codes(report, "quarantined")


def test_a_copy_that_tells_the_truth_saves_one_that_lies(
    tmp_path: Path, home: Any, run: Any, write_dicom: Any
) -> None:
    for name, rows in (("1.dcm", 999), ("2.dcm", 998), ("3.dcm", 16)):
        write_dicom(tmp_path / "in" / name, PIXELS, Rows=rows)
    shutil.copy(tmp_path / "in" / "1.dcm", tmp_path / "in" / "4.dcm")
    report = run(tmp_path / "in")
    assert (report["images"], report["files_embedded"], report["files_unchanged"]) == (1, 1, 3)
    assert run(tmp_path / "in")["files_unchanged"] == 4


def test_a_picture_beside_the_slices_of_a_series_stays_when_the_series_grows(
    tmp_path: Path, home: Any, run: Any, write_dicom: Any, write_series: Any
) -> None:
    paths = write_series(tmp_path / "in", 5, "MR")
    beside = {"StudyInstanceUID": "2.25.97", "SeriesInstanceUID": "2.25.7", "Modality": "OT"}
    write_dicom(tmp_path / "in" / "capture.dcm", PIXELS, SOPInstanceUID="2.25.7999", **beside)
    late = tmp_path / "late.dcm"
    paths[2].rename(late)
    run(tmp_path / "in")
    assert run(tmp_path / "in", late)["images"] == 6
    with CaseIndex.open(home) as index:
        places = {image.sop_instance_uid: image.slice_index for image in index.images_of("2.25.97")}
    assert places == {**{f"2.25.7{z:03d}": z for z in range(5)}, "2.25.7999": None}


def test_a_series_is_not_embedded_again_for_a_file_that_still_has_no_decoder(
    tmp_path: Path, home: Any, run: Any, write_series: Any
) -> None:
    paths = write_series(tmp_path / "in", 4)
    unknown = pydicom.dcmread(paths[1])
    unknown.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"  # MPEG2
    unknown.PixelData = pydicom.encaps.encapsulate([bytes(64)])
    unknown["PixelData"].VR = "OB"
    unknown.save_as(paths[1])
    assert list(codes(run(tmp_path / "in"), "quarantined").values()) == ["no-decoder"]
    with CaseIndex.open(home) as index:
        before = [image.image_id for image in index.images_of("2.25.97")]
    again = run(tmp_path / "in")
    assert (again["embedded"], again["images"], len(again["quarantined"])) == (0, 3, 1)
    with CaseIndex.open(home) as index:
        assert [image.image_id for image in index.images_of("2.25.97")] == before


def test_slices_are_stored_in_anatomical_order(
    tmp_path: Path, home: Any, run: Any, write_series: Any
) -> None:
    write_series(tmp_path / "in", 7)
    run(tmp_path / "in")
    with CaseIndex.open(home) as index:
        images = index.images_of("2.25.97")
        assert [image.sop_instance_uid for image in images] == [f"2.25.7{z:03d}" for z in range(7)]
        assert [image.slice_index for image in images] == list(range(7))
        assert {image.rendering for image in images} == {"ct-rgb-3window"}
        assert index.study("2.25.97").series[0].series.orientation == "axial"


def test_a_long_series_is_sampled_and_all_its_files_count(
    tmp_path: Path, home: Any, run: Any, write_series: Any
) -> None:
    write_series(tmp_path / "in", 20)
    report = run(tmp_path / "in", plan=PlanOptions(max_slices=5))
    assert (report["files_embedded"], report["instances"], report["images"]) == (20, 20, 5)
    with CaseIndex.open(home) as index:
        assert [i.slice_index for i in index.images_of("2.25.97")] == [0, 5, 10, 14, 19]
    assert run(tmp_path / "in")["files_unchanged"] == 20


def test_a_series_that_gains_files_is_drawn_anew(
    tmp_path: Path, home: Any, run: Any, write_series: Any
) -> None:
    """The end is that of one ingest of everything: percentiles and order come from the whole series."""
    paths = write_series(tmp_path / "all", 6, "MR")
    (tmp_path / "later").mkdir()
    late = [shutil.move(str(path), tmp_path / "later") for path in paths[3:]]
    run(tmp_path / "all")
    report = run(tmp_path / "later")
    assert (report["files_embedded"], report["embedded"], report["images"]) == (3, 6, 3)
    with CaseIndex.open(home) as index:
        grown = index.images_of("2.25.97")
        vectors = index.vectors([image.image_id for image in grown])
    shutil.rmtree(home)
    for path in late:
        shutil.move(path, tmp_path / "all")
    run(tmp_path / "all")
    with CaseIndex.open(home) as index:
        at_once = index.images_of("2.25.97")
        assert [(i.sop_instance_uid, i.slice_index, i.rendering_params) for i in grown] == [
            (i.sop_instance_uid, i.slice_index, i.rendering_params) for i in at_once
        ]
        np.testing.assert_array_equal(vectors, index.vectors([image.image_id for image in at_once]))


def test_new_slices_of_a_series_whose_files_are_gone_are_added(
    tmp_path: Path, run: Any, write_series: Any
) -> None:
    paths = write_series(tmp_path / "in", 4)
    late = tmp_path / "late"
    late.mkdir()
    kept = [shutil.move(str(path), late) for path in paths[2:]]
    run(tmp_path / "in")
    shutil.rmtree(tmp_path / "in")
    report = run(late)
    assert (report["embedded"], report["images"]) == (2, 2)
    assert any("2.25.7" in warning and "gone" in warning for warning in report["warnings"])
    assert len(kept) == 2


def test_pixels_that_no_file_holds_any_more_outlive_a_growing_series(
    tmp_path: Path, home: Any, run: Any, write_series: Any
) -> None:
    paths = write_series(tmp_path / "in", 4, "MR")
    late = tmp_path / "late.dcm"
    paths[3].rename(late)
    run(tmp_path / "in")
    changed = pydicom.dcmread(paths[0])
    changed.PixelData = bytes(len(changed.PixelData))
    changed.save_as(paths[0])
    assert run(tmp_path / "in")["embedded"] == 1
    os.utime(paths[0], (1, 1))
    report = run(tmp_path / "in", late)
    assert any("gone" in warning for warning in report["warnings"])
    with CaseIndex.open(home) as index:
        assert len(index.images_of("2.25.97")) == 5
        assert len(index.has_instance("2.25.7000")) == 2


def test_an_odd_header_costs_one_file_at_most(tmp_path: Path, run: Any, write_dicom: Any) -> None:
    table = pydicom.Dataset()
    table.LUTDescriptor, table.LUTData = [256, 0, 5000], np.arange(256, dtype=np.uint16).tobytes()
    write_dicom(
        tmp_path / "in" / "lut.dcm",
        PIXELS,
        SOPInstanceUID="2.25.51",
        VOILUTSequence=pydicom.Sequence([table]),
    )
    write_dicom(tmp_path / "in" / "bits.dcm", PIXELS, SOPInstanceUID="2.25.52", BitsStored=5000)
    write_dicom(tmp_path / "in" / "good.dcm", PIXELS, SOPInstanceUID="2.25.53")
    report = run(tmp_path / "in")
    broken = codes(report, "quarantined")
    assert report["files_embedded"] + len(broken) == 3
    assert not {"good.dcm", "lut.dcm"} & set(broken)


@pytest.mark.parametrize(
    ("where", "call"), [("frames", 2), ("frames", 5), ("render", 2), ("limits_percentiles", 4)]
)
def test_whatever_drawing_raises_costs_one_file(
    tmp_path: Path, run: Any, write_series: Any, monkeypatch: pytest.MonkeyPatch, where: Any, call: Any
) -> None:
    """Three slices, none held decoded: from the fourth call on it is the second look that fails."""
    monkeypatch.setattr(unit_rendering, "MAX_HELD_BYTES", 0)
    paths = write_series(tmp_path / "in", 3, "MR")
    real = getattr(unit_rendering, where)
    calls = 0

    def fails_once(*given: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise OverflowError("Doe^Jane")
        return real(*given, **options)

    monkeypatch.setattr(unit_rendering, where, fails_once)
    report = run(tmp_path / "in")
    assert (report["files_embedded"], len(paths)) == (2, 3)
    assert list(codes(report, "quarantined").values()) == ["undecodable-pixels"]
    assert "Doe" not in json.dumps(report)


def test_frames_of_a_cine_are_sampled(tmp_path: Path, home: Any, run: Any, write_dicom: Any) -> None:
    frames = np.stack([np.full((8, 8), 10 * n, np.uint8) + np.eye(8, dtype=np.uint8) for n in range(9)])
    write_dicom(tmp_path / "us.dcm", frames, Modality="US", NumberOfFrames=9)
    assert run(tmp_path / "us.dcm", plan=PlanOptions(max_slices=3))["images"] == 3
    with CaseIndex.open(home) as index:
        assert [image.frame for image in index.images_of("2.25.2")] == [0, 4, 8]


def test_metadata_gives_pictures_patients_studies_and_labels(tmp_path: Path, home: Any, run: Any) -> None:
    for n in range(3):
        Image.fromarray(np.full((8, 8), 50 * n + np.eye(8) * 9, np.uint8)).save(tmp_path / f"{n}.png")
    csv = tmp_path / "meta.csv"
    csv.write_text(
        "path,patient_id,study_id,modality,split,label,label:nodule\n"
        "0.png,P1,S1,DX,train,pneumonia,1\n1.png,P1,S1,DX,train,,0\n2.png,,,DX,test,normal,\n9.png,,,,,normal,\n"
    )
    report = run(tmp_path, metadata=csv)
    assert (report["studies"], report["images"]) == (2, 3)
    assert any("1 paths" in warning for warning in report["warnings"])
    with CaseIndex.open(home) as index:
        (first,) = index.find_file(str(tmp_path / "0.png"))
        assert first.labels == {"pneumonia": 1.0, "nodule": 1.0}
        assert (first.quality["split"], first.modality) == ("train", "DX")
        assert len({s.patient_key for s in index.studies()}) == 2


def test_workers_and_this_process_give_the_same_index(
    tmp_path: Path, model: Any, encoder: Any, write_dicom: Any, write_series: Any
) -> None:
    folder = corpus(tmp_path / "in", write_dicom, write_series)
    write_dicom(folder / "more.dcm", PIXELS + 77, SOPInstanceUID="2.25.77")
    vectors = []
    for workers in (1, 2):
        with CaseIndex.open(tmp_path / f"home{workers}") as index:
            ingest([folder], index, model, lambda: encoder, IngestOptions(workers=workers))
            table = index.table()
            # The two series hold equal pixels, and workers finish in any order: only files differ.
            files = [(index.get(int(i)).path, index.get(int(i)).frame) for i in table.image_ids]
            vectors.append(table.vectors[sorted(range(len(files)), key=files.__getitem__)])
    np.testing.assert_array_equal(vectors[0], vectors[1])


class CountingEncoder:
    """An encoder that remembers how many images it was given at a time."""

    def __init__(self, encoder: Any) -> None:
        self.encoder = encoder
        self.counts = []

    def encode_images(self, images: Any) -> Any:
        self.counts.append(len(images))
        return self.encoder.encode_images(images)


def test_images_are_encoded_in_batches_as_they_come(
    tmp_path: Path, home: Any, model: Any, encoder: Any, write_dicom: Any
) -> None:
    """Every vector belongs to its image, whichever batch it came in."""
    count = 2 * ENCODED_TOGETHER + 9
    for n in range(count):
        write_dicom(tmp_path / "in" / f"{n}.dcm", PIXELS * (n + 1), SOPInstanceUID=f"2.25.9{n}")
    counting = CountingEncoder(encoder)
    with CaseIndex.open(home) as index:
        ingest([tmp_path / "in"], index, model, lambda: counting, IngestOptions(workers=1))
        table = index.table()
        found = {index.get(int(i)).path: v for i, v in zip(table.image_ids, table.vectors, strict=True)}
    assert counting.counts == [FIRST_TOGETHER, ENCODED_TOGETHER, ENCODED_TOGETHER, 9 - FIRST_TOGETHER]
    for n in (0, 70, count - 1):
        path = tmp_path / "in" / f"{n}.dcm"
        alone = tmp_path / f"home-{n}"
        with CaseIndex.open(alone) as index:
            ingest([path], index, model, lambda: encoder)
            np.testing.assert_array_equal(index.table().vectors[0], found[str(path)])


def test_a_slow_encoder_gets_as_many_images_as_a_commit_may_take(
    tmp_path: Path, home: Any, model: Any, encoder: Any, write_dicom: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that only the encoder moves: 2 s an image, as a large model takes on a processor."""
    now, counts, kept = [0.0], [], []
    monkeypatch.setattr(commits, "time", SimpleNamespace(monotonic=lambda: now[0]))

    class Slow:
        def encode_images(self, images: Any) -> Any:
            kept.append(index.info().images)
            counts.append(len(images))
            now[0] += 2.0 * len(images)
            return encoder.encode_images(images)

    for n in range(20):
        write_dicom(tmp_path / "in" / f"{n}.dcm", PIXELS + n, SOPInstanceUID=f"2.25.6{n}")
    with CaseIndex.open(home) as index:
        ingest([tmp_path / "in"], index, model, Slow, IngestOptions(workers=1))
    most = int(commits.COMMIT_EVERY_S / 2.0)
    assert counts == [FIRST_TOGETHER, most, most, most]
    assert kept == [0, *np.cumsum(counts)[:-1]]


def test_progress_tells_stages_counts_and_time_left(
    tmp_path: Path, home: Any, model: Any, encoder: Any, write_series: Any
) -> None:
    write_series(tmp_path / "in", 3)
    told = []
    with CaseIndex.open(home) as index:
        ingest([tmp_path / "in"], index, model, lambda: encoder, on_progress=told.append)
    assert [p.stage for p in told] == sorted((p.stage for p in told), key=["walk", "scan", "embed"].index)
    assert (told[-1].done, told[-1].total, told[-1].images) == (3, 3, 3)
    assert told[-1].seconds_left == 0.0


def test_another_model_is_refused_before_anything_is_read(
    tmp_path: Path, home: Any, model: Any, encoder: Any, run: Any, write_dicom: Any
) -> None:
    path = write_dicom(tmp_path / "x.dcm", PIXELS)
    run(path)
    other = type(model)(hash="cd" * 32)
    with CaseIndex.open(home) as index, pytest.raises(CatalogError) as caught:
        ingest([path], index, other, lambda: encoder)
    assert caught.value.code == "space-mismatch"


def test_a_lost_secret_key_is_not_replaced(
    tmp_path: Path, home: Any, model: Any, encoder: Any, run: Any, write_dicom: Any
) -> None:
    path = write_dicom(tmp_path / "x.dcm", PIXELS)
    run(path)
    (home / "secret.key").unlink()
    with CaseIndex.open(home) as index, pytest.raises(CatalogError) as caught:
        ingest([path], index, model, lambda: encoder)
    assert caught.value.code == "key-mismatch"
    assert not (home / "secret.key").exists()


def test_missing_path(tmp_path: Path, run: Any) -> None:
    with pytest.raises(IngestError) as caught:
        run(tmp_path / "nowhere")
    assert caught.value.code == "no-such-path"


def test_empty_folder(tmp_path: Path, run: Any) -> None:
    (tmp_path / "in").mkdir()
    report = run(tmp_path / "in")
    assert (report["files"], report["images"], report["studies"]) == (0, 0, 0)


def test_interrupting_keeps_what_is_committed(
    tmp_path: Path, home: Any, model: Any, run: Any, encoder: Any, write_dicom: Any
) -> None:
    for n in range(200):
        write_dicom(tmp_path / "in" / f"{n:03d}.dcm", PIXELS + n, SOPInstanceUID=f"2.25.4{n}")

    class Impatient:
        calls = 0

        def encode_images(self, images: Any) -> Any:
            self.calls += 1
            if self.calls == 2:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(5)
            return encoder.encode_images(images)

    impatient = Impatient()
    with CaseIndex.open(home) as index:
        with pytest.raises(InterruptedIngestError, match="again") as caught:
            ingest([tmp_path / "in"], index, model, lambda: impatient)
        held = index.info().images
    assert caught.value.code == "interrupted"
    assert 0 < held < 200
    report = run(tmp_path / "in")
    assert (report["images"], report["embedded"]) == (200, 200 - held)


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
    for n in range(30):
        write_series(tmp_path / "in" / str(n), 6, uid=100 + n)
    rng = np.random.default_rng(11)
    codes = []
    for _ in range(4):
        process = command(home, tmp_path / "in")
        for _ in zip(range(rng.integers(1, 60)), process.stdout, strict=False):
            pass
        time.sleep(float(rng.uniform(0.0, 0.05)))
        process.kill()
        process.communicate()
        codes.append(process.returncode)
    report = run(tmp_path / "in")
    assert -signal.SIGKILL in codes
    assert (report["files"], report["files_embedded"] + report["files_unchanged"]) == (180, 180)
    assert (report["studies"], report["series"], report["instances"], report["images"]) == (30, 30, 180, 180)

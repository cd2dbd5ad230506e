"""An archive with something on every page: phantoms of several kinds, labels of two readers, a probe, drafts,
a collection, a map, a picture that is withheld, and a study whose descriptions are HTML.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pydicom

from tests.api.conftest import run

MARKUP = '<img src=x onerror="document.title=1"><script>document.title=1</script><b>bold</b>'
"""What a study and its series are called in one of the studies; Study Description holds 64 characters."""


@dataclass(frozen=True)
class Filled:
    """The home, and the UIDs of studies that tests open."""

    home: Path
    dicom: Path
    plain: str
    markup: str
    withheld: str
    ct: str
    draft: str


def make_filled(folder: Path) -> Filled:
    """Make the archive in an empty folder."""
    from medsiglip.phantoms.catalogue import make_studies
    from medsiglip.phantoms.dicom import write_study

    dicom, home = folder / "dicom", folder / "home"
    skin = list(make_studies(24, 5, ["skin"]))
    chest = list(make_studies(8, 5, ["chest-xray"]))
    ct = list(make_studies(2, 5, ["chest-ct"]))
    for study in (*skin, *chest, *ct):
        write_study(study, dicom)
    markup, withheld = chest[0].study_instance_uid, chest[1].study_instance_uid
    for path in sorted(dicom.rglob("*.dcm")):
        dataset = pydicom.dcmread(path)
        if dataset.StudyInstanceUID == markup:
            dataset.StudyDescription = MARKUP[:64]
            dataset.SeriesDescription = MARKUP[-64:]
        elif dataset.StudyInstanceUID == withheld:
            dataset.BurnedInAnnotation = "YES"
        else:
            continue
        dataset.save_as(path)
    labels = folder / "labels.csv"
    rows = [f"{one.study_instance_uid},{int(one.labels['melanoma'])}" for one in skin]
    labels.write_text("\n".join(["study_instance_uid,label:melanoma", *rows, ""]), encoding="utf-8")

    def do(*words: object) -> object:
        return run("--home", home, "--json", *words).json

    do("ingest", dicom, "--phi", "keep")
    do("label", "import", labels)
    do("probe", "train", "melanoma", "--label", "melanoma")
    do("map", "make")
    do("pacs", "add", "archive", "--url", "http://127.0.0.1:9/dicom-web")
    drafts = [do("report", "draft", one.study_instance_uid) for one in (chest[2], chest[3], ct[0])]
    shutil.rmtree(home / "received", ignore_errors=True)
    draft = drafts[0]
    assert isinstance(draft, dict)
    return Filled(
        home,
        dicom,
        plain=chest[2].study_instance_uid,
        markup=markup,
        withheld=withheld,
        ct=ct[0].study_instance_uid,
        draft=str(draft["id"]),
    )

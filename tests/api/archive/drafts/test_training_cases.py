"""A draft quotes no score of a probe on a patient that the probe was trained on."""

from __future__ import annotations

from pathlib import Path

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.drafts.reports import finding_scores
from medsiglip.medgemma.evidence import EvidenceOptions, gather
from medsiglip.medgemma.generators.evidence_only import compose
from tests.api.conftest import Home


def test_a_probe_is_quoted_for_other_patients_only(own_home: Home, tmp_path: Path) -> None:
    studies = own_home.run("study", "list", "--where", "modality=XC").json["studies"]
    early = [one for one in studies if one["study_date"] < "2020"]
    rows = [f"{one['study_instance_uid']},{one['labels']['melanoma']:.0f}" for one in early]
    (tmp_path / "early.csv").write_text("\n".join(["study_instance_uid,label:melanoma", *rows]))
    assert own_home.run("probe", "train", "moles", "--labels", tmp_path / "early.csv").code == 0
    seen = {one["patient_key"] for one in studies if one["study_date"] < "2020"}
    trained = next(one for one in studies if one["patient_key"] in seen)["study_instance_uid"]
    other = next(one for one in studies if one["patient_key"] not in seen)["study_instance_uid"]
    draft = own_home.run("report", "draft", trained).json
    assert {one["source"] for one in draft["findings"]} == {"prompts:phantoms"}
    assert "probe:moles" not in draft["text"]
    [warning] = [one for one in draft["warnings"] if "probe:moles" in one]
    assert "was trained on this patient's pictures" in warning
    assert "probe:moles" in own_home.show("report", "show", draft["id"]).out
    draft = own_home.run("report", "draft", other).json
    assert "probe:moles" in {one["source"] for one in draft["findings"]}
    assert draft["warnings"] == []
    with Archive(own_home.path) as archive:
        stored = archive.index.drafts.listed(limit=2)
        assert sorted(one.payload["evidence"]["left_out"] for one in stored) == [[], ["probe:moles"]]


def test_a_draft_with_no_other_score_says_why_there_is_none(own_home: Home) -> None:
    own_home.run("probe", "train", "moles", "--label", "melanoma")
    study = own_home.run("study", "list", "--where", "modality=XC").json["studies"][0]
    with Archive(own_home.path) as archive:
        options = EvidenceOptions(findings=("probe:moles",))
        evidence = gather(finding_scores(archive), study["study_instance_uid"], options)
        assert evidence.findings == ()
        assert "its scores are left out" in compose(evidence)[0]

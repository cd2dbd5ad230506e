"""`label undo`, `history`, `queue`, `agreement` and `curve`, as programs and people see them."""

from __future__ import annotations

from pathlib import Path

from medsiglip.api.archive.audit_trail import local_actor
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.label_records import LabelRecord
from tests.api.conftest import Home, Phantoms


def test_the_commands_of_readers(own_home: Home, phantoms: Phantoms, tmp_path: Path) -> None:
    me = local_actor()
    skin = sorted(phantoms.with_label("melanoma", 1) + phantoms.with_label("melanoma", 0))
    truth = {uid: float(phantoms.by_study[uid]["melanoma"]) for uid in skin}
    with CaseIndex.open(own_home.path) as index:
        divided = skin[:3]
        index.labels.put(
            [
                LabelRecord(
                    "melanoma", 1 - truth[uid] if uid in divided else truth[uid], "study_instance_uid", uid
                )
                for uid in skin
            ],
            "ann",
        )
    found = own_home.run("label", "agreement", "melanoma").json
    assert found["readers"] == ["ann", me]
    [pair] = found["pairs"]
    assert (pair["n"], pair["agreement"]) == (24, 1 - 3 / 24)
    assert found["disagreements"] == sorted(divided)
    shown = own_home.show("label", "agreement", "melanoma").out
    assert "Krippendorff's alpha of all" in shown
    assert "3 studies with both values, 3 of them evenly divided" in shown

    queued = own_home.run("label", "queue", "melanoma", "--order", "disagreement", "-n", "2").json
    assert [one["study_instance_uid"] for one in queued["cases"]] == sorted(divided)[:2]
    assert queued["labelled"] == 24
    history = own_home.run("label", "history", sorted(divided)[0]).json
    assert history["study_instance_uid"] == queued["cases"][0]["study_instance_uid"]
    said = {one["reader"]: one["value"] for one in history["labels"] if one["name"] == "melanoma"}
    assert said == {me: truth[sorted(divided)[0]], "ann": 1 - truth[sorted(divided)[0]]}
    assert "ann" in own_home.show("label", "history", divided[0]).out

    where = ("--where", "modality=XC", "--order", "random", "--seed", "2")
    assert own_home.run("label", "queue", "ulcer", *where).json["remaining"] == 24
    assert "0 labelled, 24 left" in own_home.show("label", "queue", "ulcer", *where).out
    curve = own_home.run("label", "curve", "melanoma").json
    assert [point["n"] for point in curve["points"]] == [10, 20, 21]
    assert "AUROC" in own_home.show("label", "curve", "melanoma").out

    (tmp_path / "one.csv").write_text(f"study_instance_uid,label:ulcer\n{skin[0]},1\n{skin[1]},0\n")
    own_home.run("label", "import", tmp_path / "one.csv")
    undone = own_home.run("label", "undo").json
    assert undone == {"studies": sorted(skin[:2]), "labels": ["ulcer"], "cases": 2}
    assert "undone: " in own_home.show("label", "undo").out
    names = {one["label"] for one in own_home.run("label", "list").json["labels"]}
    assert "melanoma" in names  # as the other reader has it, without those of the first
    assert own_home.run("label", "undo").error["code"] == "nothing-to-undo"
    assert own_home.run("label", "agreement", "unheard").error["code"] == "unknown-label"
    assert own_home.run("label", "queue", " ").error["code"] == "empty-text"

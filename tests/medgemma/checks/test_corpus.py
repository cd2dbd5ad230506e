"""The verdicts on sentences in the wording of reports, against labels given by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from medsiglip.medgemma.checks.verify import check_draft
from medsiglip.medgemma.records import Evidence, Finding

PARTS = ("first.csv", "second.csv", "held_out.csv")
CORPUS = Path(__file__).parent / "corpus"
LABELS = {
    "chest-xray": [
        *("atelectasis", "cardiomegaly", "consolidation", "edema", "enlarged-cardiomediastinum", "fracture"),
        *("lung-lesion", "lung-opacity", "pleural-effusion", "pleural-other", "pneumonia", "pneumothorax"),
        "support-devices",
    ],
    "phantom-chest": ["pleural-effusion", "pneumothorax", "cardiomegaly", "consolidation", "nodule"],
    "chest-ct": ["nodule", "pleural-effusion"],
    "head-ct": ["haemorrhage"],
    "brain-mr": ["brain-tumour"],
    "mammogram": ["mass", "calcifications"],
    "ultrasound": ["gallstones"],
    "skin": ["melanoma"],
    "skin-conditions": ["Psoriasis", "Eczema", "Basal Cell Carcinoma", "Melanoma", "Tinea Versicolor"],
    "fundus": ["diabetic-retinopathy"],
    "fundus-grades": ["none", "mild", "moderate", "severe", "proliferative"],
    "histology": ["carcinoma"],
    "histology-classes": ["benign", "invasive", "dcis"],
    "device": ["device"],
}
SETS = {"fundus-grades": "diabetic-retinopathy", "histology-classes": "invasive-breast-cancer"}
MODALITIES = {
    "chest-xray": "DX",
    "phantom-chest": "DX",
    "chest-ct": "CT",
    "head-ct": "CT",
    "brain-mr": "MR",
    "mammogram": "MG",
    "ultrasound": "US",
    "skin": "XC",
    "skin-conditions": "XC",
    "fundus": "OP",
    "fundus-grades": "OP",
    "histology": "SM",
    "histology-classes": "SM",
    "device": "DX",
}
LUNGS = ["consolidation", "pneumonia", "lung-opacity", "edema", "atelectasis", "lung-lesion", "nodule"]
ACUTE = ["consolidation", "pneumonia", "edema", "pneumothorax", "pleural-effusion", "lung-opacity"]


@dataclass(frozen=True)
class Labelled:
    template: str
    sentence: str
    says: dict[tuple[str, ...], bool]


@dataclass
class Tally:
    """`missed` of `contradictions`; false flags by sentence that contradicts nothing, and among all flags."""

    contradictions: int = 0
    missed: list[str] = field(default_factory=list)
    agreeing: int = 0
    flagged_agreeing: set[str] = field(default_factory=set)
    agreeing_sentences: set[str] = field(default_factory=set)
    flags: int = 0
    false_flags: list[str] = field(default_factory=list)

    @property
    def sensitivity(self) -> float:
        return 1 - len(self.missed) / self.contradictions

    @property
    def false_flag_rate(self) -> float:
        return len(self.flagged_agreeing) / len(self.agreeing_sentences)

    @property
    def wrong_among_flags(self) -> float:
        return len(self.false_flags) / self.flags


def read(name: str) -> list[Labelled]:
    lines = (CORPUS / name).read_text(encoding="utf-8").splitlines()
    return [_labelled(line) for line in lines if line and not line.startswith("#")]


def _labelled(line: str) -> Labelled:
    template, sentence, said = line.split("|", 2)
    known = LABELS[template]
    groups = {"@lungs": LUNGS, "@acute": ACUTE, "@all": [x for x in known if x != "support-devices"]}
    says: dict[tuple[str, ...], bool] = {}
    for found in re.finditer(r"(@?[\w/ -]+?)([+-])(?:\s|$)", said):
        names = [n for n in groups[found[1]] if n in known] if found[1] in groups else [found[1].strip()]
        for name in names:
            key = tuple(name.split("/"))
            if found[1] in groups and any(key[0] in other for other in says):
                continue
            assert set(key) <= set(known), line
            says[key] = found[2] == "+"
    return Labelled(template, sentence, says)


def evidence(template: str, present: dict[str, bool | None]) -> Evidence:
    source = f"prompts:{SETS.get(template, template)}"
    findings = tuple(
        Finding(label, {True: 0.95, False: 0.05, None: 0.5}[state], state, source, 1)
        for label, state in present.items()
    )
    return Evidence("1.2.3", "space", MODALITIES[template], None, template, findings)


def trials(case: Labelled) -> Iterator[tuple[bool, bool, dict[str, bool | None]]]:
    """Scores opposed to the sentence, then in line with it; what it leaves open is present, then absent."""
    for opposed in (True, False):
        for others in (True, False):
            present: dict[str, bool | None] = dict.fromkeys(LABELS[case.template], others)
            for names, said in case.says.items():
                present.update(dict.fromkeys(names, said != opposed))
            yield opposed, others, present


def measure(cases: list[Labelled]) -> Tally:
    tally = Tally()
    for case in cases:
        for opposed, others, present in trials(case):
            checks = check_draft(case.sentence, evidence(case.template, present))
            flagged = {check.finding for check in checks if check.verdict in ("contradict", "doubtful")}
            expected = set(case.says) if opposed else set()
            tally.contradictions += len(expected)
            tally.missed += [f"{case.sentence} [{names}]" for names in expected if not flagged & set(names)]
            allowed = {name for names in expected for name in names}
            tally.flags += len(flagged)
            tally.false_flags += [f"{case.sentence} [{name}, others {others}]" for name in flagged - allowed]
            if not expected:
                tally.agreeing_sentences.add(case.sentence)
                if flagged:
                    tally.flagged_agreeing.add(case.sentence)
    return tally


def test_the_corpus_is_large_and_nothing_is_in_it_twice() -> None:
    sentences = [(case.template, case.sentence) for name in PARTS for case in read(name)]
    assert len(sentences) >= 500
    assert len(set(sentences)) >= 0.98 * len(sentences)


@pytest.mark.parametrize("name", PARTS)
def test_contradictions_are_found_and_little_else_is_flagged(name: str) -> None:
    cases = read(name)
    tally = measure(cases)
    print(f"\n{name}: {len(cases)} sentences, {tally.contradictions} contradictions")
    print(f"found {tally.sensitivity:.1%}; true sentences flagged {tally.false_flag_rate:.1%}")
    print(f"wrong among the flags {tally.wrong_among_flags:.1%}")
    print(*dict.fromkeys(["missed: " + x for x in tally.missed]), sep="\n")
    print(*dict.fromkeys(["false: " + x for x in tally.false_flags]), sep="\n")
    assert tally.sensitivity >= 0.95
    assert tally.false_flag_rate <= 0.05
    assert tally.wrong_among_flags <= 0.05


@pytest.mark.parametrize("part", ["first", "second", "held-out"])
def test_words_of_change_are_flagged_without_a_prior(part: str) -> None:
    lines = (CORPUS / "temporal.csv").read_text(encoding="utf-8").splitlines()
    cases = [line.split("|") for line in lines if line.startswith(f"{part}|")]
    wrong = [sentence for _, expected, sentence in cases if _is_temporal(sentence) != (expected == "yes")]
    print(f"\n{part}: {len(cases)} sentences, wrong: {wrong}")
    assert len(cases) >= 30
    assert len(wrong) <= 0.05 * len(cases)


def _is_temporal(sentence: str) -> bool:
    checks = check_draft(sentence, evidence("chest-xray", {}))
    return any("temporal-without-prior" in check.flags for check in checks)

from __future__ import annotations

import csv
import json
import re
import tomllib
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from medsiglip.ingest.privacy.free_text import (
    code_string,
    identity_of,
    manufacturer_known,
    without_identifiers,
)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("CT THORAX W/O", "CT THORAX W/O"),
        ("mri brain DOE", None),
        ("Follow-up for Jane", None),
        ("study_4711_head", None),
        ("born 19800101", None),
        ("", None),
        ("Al", None),
        ("CT 4-711", None),
        ("MR ALVEOLAR", "MR ALVEOLAR"),
    ],
)
def test_descriptions_that_name_the_patient_are_dropped(text: Any, kept: Any) -> None:
    assert without_identifiers(text, identity_of(("4711", "19800101"), ("Doe^Jane^Al^MR",))) == kept


@pytest.mark.parametrize(
    ("name", "text", "survives"),
    [
        ("Li^Wu", "CT Thorax Li Wu", False),
        ("Li^Wu", "CT Thorax liwu", False),
        ("Li^Wu", "LIVER PROTOCOL", True),
        ("Li^Wu", "LIVER WUPPERTAL PROTOCOL", False),
        ("王^小明", "胸部CT王小明", False),
        ("Kim^Minjun", "KimMinjun chest", False),
        ("Kim^Minjun", "chest_MINJUNKIM2", False),
        ("Wang^XiaoDong=王^小東", "頭部 小東", False),
        ("Wang^XiaoDong=王^小東", "頭部 単純", True),
        ("Müller^Jo", "Knie MU\u0308LLER", False),
        ("Smith^John", "CT CHEST W CONTRAST", True),
        ("Smith^John^^MR^MD", "MR BRAIN MD", True),
        ("Smith^John", "born 1970-01-02", False),
        ("Smith^John", "born 02.01.1970", False),
        ("Smith^John", "19700102_head", False),
        ("Smith^John", "T1 1.5 2024-03-05", True),
        ("", "CT HEAD 5/5", True),
        ("Müller^Jo", "Knie Mueller", False),
        ("Müller^Jo", "Knie Muller", False),
        ("Mueller^Jo", "Knie MÜLLER", False),
        ("Garcia^Jose", "torax JOSÉ", False),
        ("O'Brien^Pat", "chest o brien", False),
        ("Saint-Exupery^Antoine", "exupery knee", False),
        ("Иванов^Иван", "КТ Иванов", False),
        ("حسن^علي", "CT علي", False),
        ("김^희중=金^喜中", "복부 김희중", False),
        ("Smith^John", "020170 head", False),
        ("", "seen by Dr. Huber", False),
        ("", "Dr Huber THORAX", False),
        ("", "DR CHEST", True),
        ("", "MRS BRAIN", True),
        ("", "Frau M.", False),
        ("", "CT-Frauenheilkunde", True),
        ("", "ask jane@example.org", False),
        ("", "tel 0043512504", False),
        ("", "20240305 follow-up", True),
        ("", "CT 120kV 5.0 B31s", True),
    ],
)
def test_descriptions_with_names_of_any_length_and_script(name: Any, text: Any, survives: Any) -> None:
    kept = without_identifiers(text, identity_of((name, "19700102"), (name,)))
    assert kept == (text if survives else None)


# The names are words of protocols, so that only the identity tells that they name somebody here.
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Łokieć^Ewa", "RTG LOKIEC"),
        ("Ręka^Jan", "RTG REKA"),
        ("Høyre^Jo", "HOYRE RTG"),
        ("Høyre^Jo", "HOEYRE"),
        ("Blære^Jo", "BLAERE"),
        ("Håndled^Bo", "HAANDLED"),
        ("Schädel^Bo", "SCHAEDEL CT"),
        ("Fuß^Bo", "Fuss"),
        ("Fuß^Bo", "FUß"),
        ("Тест^Иван", "MR TEST"),
        ("Тест^Иван", "MR test 2"),
        ("Филипс^Иван", "PHILIPS THORAX"),
        ("Σπονδυλικη^Ελένη", "Σπονδυλική στήλη"),
        ("Kranium^Jo", "CRANIUM"),
        ("Торакс^Иван", "THORAX"),
        ("Карпус^Иван", "CARPUS"),
        ("ひざ^たろう", "膝 ひざ"),
        ("ハイ^タロウ", "胸部 はい"),
        ("Long-Bone^Jo", "LONG BONE SURVEY"),
        ("Longbone^Jo", "LONG BONE SURVEY"),
        ("कंधा^राम", "एक्स रे कंधा"),
        ("เข่า^สมชาย", "เข่า"),
    ],
)
def test_names_in_other_spellings_and_scripts(name: str, text: str) -> None:
    nobody = identity_of(("19700102",), ("Zzyzx^Qq",))
    assert without_identifiers(text, nobody) == text
    assert without_identifiers(text, identity_of((name, "19700102"), (name,))) is None


@pytest.mark.parametrize(
    "text",
    [
        "KOLANO WALESA",
        "CHEST WONG",
        "胸部 山田",
        "胸部 ヤマダ",
        "흉부 김철수",
        "КТ Щербаков",
        "CT الصدر محمد",
        "CT חזה כהן",
        "knee of Huber",
        "Abdomen/Papadopoulos",
        "spine_Nguyen_2",
        "ANNA",
        "C h e s t",
        "CT THORAX " * 200,
    ],
)
def test_a_word_that_is_not_known_drops_the_text(text: str) -> None:
    """Names that the header does not hold: of a relative, of staff, in a reading of its own."""
    assert without_identifiers(text, identity_of(("19700102",), ("Smith^John",))) is None


@pytest.mark.parametrize(
    "text",
    ["XU1 CHEST", "XuKnee", "kneeXU", "MRXuKnee", "CT2Xu", "Xu胸部", "xu_1", "X . U", "X, U CT", "x.u"],
)
def test_short_names_joined_to_digits_or_other_words(text: str) -> None:
    """With nothing but abbreviations and known words around them, so that only the identity tells."""
    nobody = identity_of(("19700102",), ("Zzyzx^Qq",))
    assert without_identifiers(text, nobody) == text
    assert without_identifiers(text, identity_of(("19700102",), ("Xu^Li",))) is None


@pytest.mark.parametrize("text", ["LIVER T1", "Liver2", "lipome", "plexus"])
def test_words_that_only_begin_or_end_like_a_short_name_are_kept(text: str) -> None:
    assert without_identifiers(text, identity_of(("19700102",), ("Us^Li",))) == text


@pytest.mark.parametrize("text", ["П о п о в", "S . m - i , t + h", "K_O_W_A_L", "h*u*b*e*r"])
def test_words_that_are_spelt_out_with_any_separators(text: str) -> None:
    assert without_identifiers(text, identity_of(("19700102",), ("Smith^John",))) is None


# Each is a row of words that are known on their own, and nothing else.
@pytest.mark.parametrize(
    "text",
    [
        "Попов",
        "КТ ПОПОВ",
        "위지연",
        "전지연",
        "三上彩",
        "左中正",
        "全正一",
        "水上",
        "ありの",
        "カイト",
        "胸部 三上",
    ],
)
def test_names_of_short_words_of_other_scripts(text: str) -> None:
    assert without_identifiers(text, identity_of(("19700102",), ("Smith^John",))) is None


# From public lists of examinations, in scripts whose words stand together.
JOINED = """
胸部CT平扫 | CT肺动脉造影 | 全腹CT增强 | 冠脉+头颈CTA | 腹部立位平片 | 膝关节正侧位 | 双侧乳腺轴位+侧斜位
左膝关节正侧位 | 右胫腓骨正侧位 | 肝胆脾 | CT上臂/肱骨平扫 | 右股骨中上段正侧位 | 左手拇指 | 右颞部
双膝关节 | PET-CT全身显像 | 单侧乳腺钼靶 | 肝動脈造影 | 消化管造影 | 単純-躯幹骨 | 泌尿生殖器造影
断層-下肢骨 | 骨髄・血液RI | 両膝関節 | 左肩関節 | 腰椎4方向 | 肩関節前後 | 흉부 단순촬영(1매)
컴퓨터 단층촬영(CT) | 복부초음파 | 뇌혈관조영 | 뇌동맥 | 폐결절 | 복부골반CT | 슬관절 정면 측면
우측 어깨 MRI | КТ грудной клетки | рентгенография коленного сустава | أشعة الصدر | للصدر والبطن | CT הברך
เอกซเรย์ปอด
"""


@pytest.mark.parametrize("text", [one.strip() for one in re.split(r"[|\n]", JOINED) if one.strip()])
def test_real_descriptions_of_other_scripts_are_kept(text: str) -> None:
    assert without_identifiers(text, identity_of(("19700102",), ("Smith^John",))) == text


# Some of the public lists and files that the words were compared with.
REAL = """
CT, HEAD/BRAIN WO CONTRAST | T/S/C RF FAST PILOT | t2_tse_tra_msma_5 STK | Thorax^AThoraxRoutine (Adult)
5.8 TAP : 4 HELICES (SANS/THXABDO ART/AP PORT/TARDIF) | PUNCTIE BORST LINKS | RM DE CRANIO | HippoCrop
AAHead_Scout_64ch-head-coil | ep2d_diff_4scan_trace_p2_TRACEW | dMRI_dir106_PA_2x2x2_SBRef | KUB PA
[BR-DY_CTAC_2mm+PSF] Brain Dynamic (18) | Halswirbelsäule in 2 Ebenen mit Dens-Zielaufnahme | GRE FIELD
Farbcodierte Duplex-Sonographie der Halsgefäße | Thorax p.a. und seitlich | Ecografía obstétrica
RX de columna cervical (total o focalizada), frente y perfil | TC de Crânio | Raio-X de Tórax | IRM cérébrale
Scanner thoracique | Partie molle (jambe, avant bras) | RX TORACE 1 PROIEZ. | RM encefalo con mdc | Sol Diz MR
RTG klatki piersiowej PA | Badanie USG jamy brzusznej | PA Akciğer Grafisi | КТ органов грудной полости
Рентгенография органов грудной клетки | CT颈椎间盘(含五个椎间盘) | CT全腹部平扫+增强 | 胸部正位DR | 胸腹部単純
4分割開口,閉口(パノラマ) | 흉부단순촬영 | 복부 X-ray | C-Spine C1-C4 Axial | MG Breast Bx Stereo Guide Left
XR Knee 2 Views | CT PULMONARY ANGIOGRAPHY | Non-ossifying fibroma of distal tibia
Tomoscintigrafia PET total body
"""


@pytest.mark.parametrize("text", [one.strip() for one in re.split(r"[|\n]", REAL) if one.strip()])
def test_real_descriptions_are_kept(text: str) -> None:
    assert without_identifiers(text, identity_of(("19700102",), ("Smith^John",))) == text


def test_the_descriptions_of_real_files_are_kept(test_data: Path) -> None:
    """All but four, among them `xxx xxxxxxx xxxxxx` and the name of a disease."""
    from medsiglip.ingest.errors import HeaderRefusedError
    from medsiglip.ingest.header.elements import read_elements

    found: Counter[str] = Counter()
    with (test_data / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        paths = [row["path"] for row in csv.DictReader(stream) if row["kind"] == "dicom"]
    for path in paths:
        try:
            elements = read_elements(str(test_data / path)).values
        except HeaderRefusedError:
            continue
        found.update(str(elements.get(name, "")) for name in ("StudyDescription", "SeriesDescription"))
    texts = {text for text in found if text}
    nobody = identity_of(("19700102",), ("Smith^John",))
    dropped = {text for text in texts if without_identifiers(text, nobody) is None}
    assert len(texts) > 60
    assert dropped == {
        "xxx xxxxxxx xxxxxx",
        "Barretts Esophagus",
        "Congo Red-Lung test",
        "MODALITYLUT - TEETH",
    }


def test_the_given_cases_name_nobody(test_cases: Path) -> None:
    from medsiglip.ingest.header.elements import read_elements
    from medsiglip.ingest.header.header_texts import HeaderTexts

    folder = test_cases / "dicom"
    cases = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    names = [name for name, case in cases.items() if case["kind"] == "PHI"]
    assert len(names) >= 8
    for name in names:
        elements = read_elements(str(folder / "inputs" / name)).values
        kept, whole = (HeaderTexts(elements, phi) for phi in ("pseudonymous", "keep"))
        for keyword in ("StudyDescription", "SeriesDescription"):
            assert whole.free(keyword) == cases[name]["description"].split(" of ")[0]
            assert kept.free(keyword) is None, name


def test_the_words_of_dicom_stand_in_its_codes() -> None:
    from pydicom.sr._concepts_dict import concepts

    tables: Any = concepts  # scheme, keyword, code value: the meaning and its context groups
    meanings = (
        meaning for codes in tables.values() for values in codes.values() for meaning, _ in values.values()
    )
    said = " ".join(meanings).casefold()
    text = (files("medsiglip.ingest.privacy") / "words" / "dicom.txt").read_text(encoding="utf-8")
    words = {word for line in text.splitlines() if not line.startswith("#") for word in line.split()}
    assert len(words) > 5000
    assert {word for word in words if word not in said} == set()


def test_words_are_in_lower_case_and_beginnings_long_enough() -> None:
    """Else they would never be found; shorter beginnings are those of surnames."""
    text = (files("medsiglip.ingest.privacy") / "words" / "radiology.toml").read_text(encoding="utf-8")
    lists = tomllib.loads(text)
    beginnings = lists.pop("beginnings").split()
    assert min(map(len, beginnings)) >= 5
    assert len(lists) > 15
    assert [word for words in lists.values() for word in words.split() if word != word.lower()] == []


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("CHEST", "CHEST"),
        (" chest ", "CHEST"),
        ("T_SPINE 2", "T_SPINE 2"),
        ("PA\\AP", "PA"),
        ("DOE", None),
        ("HUBER", None),
        ("RIBCAGE", "RIBCAGE"),
        ("WHOLE BODY", "WHOLE BODY"),
        ("Doe^Jane", None),
        ("C-SPINE", None),
        ("A" * 17, None),
        ("BRÜCKE", None),
        ("", None),
    ],
)
def test_codes_are_codes_or_dropped(text: Any, kept: Any) -> None:
    assert code_string(text, identity_of((), ("Doe^Jane",))) == kept


def test_a_name_of_thousands_of_words_costs_no_time_to_speak_of() -> None:
    name = " ".join(f"w{n}" for n in range(20_000))
    identity = identity_of((), (name,))
    assert without_identifiers("CT THORAX", identity) == "CT THORAX"
    assert without_identifiers("CT of w19999", identity) is None
    assert len(identity.words) < 21_000


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("SIEMENS", "Siemens"),
        ("GE MEDICAL SYSTEMS", "GE"),
        ("Konica Minolta, Inc.", "Konica Minolta"),
        ("GEORGE", None),
        ("", None),
    ],
)
def test_known_manufacturers(text: Any, known: Any) -> None:
    assert manufacturer_known(text, ("Siemens", "GE", "Konica Minolta")) == known

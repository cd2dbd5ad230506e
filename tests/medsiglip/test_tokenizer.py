"""Our tokenizer against transformers' `SiglipTokenizer`, id by id."""

from __future__ import annotations

import itertools
import os
import random
import string
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medsiglip.errors import ModelError
from medsiglip.tokenizer import Tokenizer, canonicalise

pytestmark = pytest.mark.filterwarnings("ignore:This sequence already has </s>:UserWarning")

FINDINGS = [
    "pleural effusion",
    "pneumothorax",
    "cardiomegaly",
    "consolidation",
    "pulmonary nodule",
    "oedema",
    "fracture",
    "atelectasis",
    "brain tumour",
    "haemorrhage",
    "microcalcifications",
    "diabetic retinopathy",
    "melanoma",
    "gallstones",
    "normal chest X-ray",
]
TEMPLATES = [
    "{}",
    "no evidence of {}",
    "{} present",
    "{} is not present.",
    "A chest X-ray with {}",
    "Small LEFT {}, stable since 12/03/2019",
    "Status post {} (grade II–III)",
    "{}: 3.5 x 2.0 cm; HU −20…45",
    "?{}?",
    "IMPRESSION:\n1. {}.\n2. None.",
]
REPORTS = [template.format(finding) for template, finding in itertools.product(TEMPLATES, FINDINGS)]
ADVERSARIAL = [
    "",
    " ",
    "\t\n\r\x0b\x0c",
    "\u00a0\u2003\u3000",
    "\u200b",
    "\ufeffpleural effusion",
    "...",
    "!?",
    "-",
    "- -",
    "\u2581",
    "\u2581\u2581 effusion",
    "a\u2581b",
    "pleural\u2581effusion",
    "  leading and trailing  ",
    "\ttabs\tbetween\twords\t",
    "line\nbreaks\r\nof all\u2028kinds\u2029here\x85",
    "patient's radiologist’s 'quoted' “curly” `code`",
    "T1/T2-FLAIR w/o contrast",
    "a/b\\c|d",
    "Ödem, Hämatom, İSTANBUL, STRASSE, straße, ẞ",
    "éè e\u0301 ﬁbrosis ﬀ Ⅳ ½ ① ²",
    "胸部X線 正常",
    "рентген грудной клетки",
    "صدر طبيعي",
    "विकिरण",
    "🩻 🫁 emoji 👩‍⚕️🏽",
    "null\x00byte",
    "bell\x07 escape\x1b[31m delete\x7f",
    "\U0010ffff \ue000 \ufffd",
    "</s>",
    "effusion</s>",
    "</s>effusion",
    "a </s> b",
    "a</s>b",
    "</s></s>",
    "<unk>",
    "a <unk> b",
    "<unk></s><unk>",
    "<pad> <s> [CLS] <mask>",
    "< /s>",
    "</S> <UNK>",
    "<</s>>",
    "%s %d {0} ${HOME} <!-- -->",
    "#hashtag @mention ~tilde ^caret =equals +plus *star",
    "1,234.56 mg/dL 98.6°F 5µm 10⁶ ±3%",
    "x" * 500,
    "effusion " * 200,
    "." * 300 + "nodule",
    "nodule" + " " * 300 + "mass",
    "word " * 62,
    "word " * 63,
    "word " * 64,
    "</s>" * 70,
    "e\u0301" * 90,
]


def random_texts() -> list[str]:
    source = random.Random(0)
    alphabet = string.printable.replace("_", "") + "\u2581\u00a0\u200d\u0301éßİñ’–·…µ°≥肺🫁\x00\x1f"
    texts = ["".join(source.choices(alphabet, k=source.randrange(1, 60))) for _ in range(120)]
    words = [*FINDINGS, "</s>", "<unk>", "\u2581", " ", "-", "</", "s>", "\n"]
    return texts + ["".join(source.choices(words, k=source.randrange(1, 12))) for _ in range(80)]


TEXTS = REPORTS + ADVERSARIAL + random_texts()


def transformers_ids(spiece_path: Path, texts: list[str], context_length: int) -> Any:
    from transformers import SiglipTokenizer

    tokenizer = SiglipTokenizer(str(spiece_path), model_max_length=context_length)
    return tokenizer(texts, padding="max_length", truncation=True, return_tensors="np")["input_ids"]


def assert_same_ids(spiece_path: Path, texts: list[str], context_length: int) -> None:
    ours = Tokenizer(spiece_path, context_length)(texts)
    theirs = transformers_ids(spiece_path, [text.replace("_", " ") for text in texts], context_length)
    assert ours.dtype == np.int64
    assert ours.shape == (len(texts), context_length)
    different = [(text, a, b) for text, a, b in zip(texts, ours, theirs, strict=True) if (a != b).any()]
    assert not different, f"{len(different)} texts differ, first: {different[0]}"


@pytest.mark.parametrize("context_length", [64, 16])
def test_ids_equal_transformers(spiece_path: Path, context_length: int) -> None:
    assert len(TEXTS) > 300
    assert_same_ids(spiece_path, TEXTS, context_length)


def test_ids_equal_transformers_with_the_real_vocabulary() -> None:
    data = os.environ.get("MEDSIGLIP_TEST_DATA")
    if not data:
        pytest.skip("MEDSIGLIP_TEST_DATA is not set: the real tokenizer files are not at hand")
    assert_same_ids(Path(data) / "medsiglip-tokenizer" / "spiece.model", TEXTS, 64)


def test_underscore_is_a_space_where_transformers_joins_the_words(spiece_path: Path) -> None:
    tokenizer = Tokenizer(spiece_path, 16)
    underscored, spaced, joined = tokenizer(["pleural_effusion", "pleural effusion", "pleuraleffusion"])
    assert (underscored == spaced).all()
    assert (transformers_ids(spiece_path, ["pleural_effusion"], 16)[0] == joined).all()
    assert (joined != spaced).any()


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("  Pleural\tEffusion. ", "pleural effusion"),
        ("T2-weighted", "t2weighted"),
        ("chest_x_ray", "chest x ray"),
        ("_", ""),
        ("(?!)", ""),
        ("a\u00a0b", "a b"),
        ("ÖDEM", "ödem"),
    ],
)
def test_canonical_text(text: str, canonical: str) -> None:
    assert canonicalise(text) == canonical


def test_lone_surrogate_is_a_replacement_character(spiece_path: Path) -> None:
    tokenizer = Tokenizer(spiece_path, 16)
    lone, replaced = tokenizer(["nodule \ud83e mass", "nodule \ufffd mass"])
    assert (lone == replaced).all()


def test_no_texts_give_no_rows(spiece_path: Path) -> None:
    assert Tokenizer(spiece_path, 16)([]).shape == (0, 16)


@pytest.mark.parametrize("content", [b"", b"not a vocabulary", None])
def test_unreadable_vocabulary_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "spiece.model"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"spiece\.model") as caught:
        Tokenizer(path, 16)
    assert caught.value.code == "bad-tokenizer"


def test_tokenizing_imports_neither_torch_nor_transformers(spiece_path: Path) -> None:
    import subprocess

    program = (
        "import sys; from pathlib import Path; from medsiglip.tokenizer import Tokenizer; "
        f"Tokenizer(Path({str(spiece_path)!r}), 16)(['nodule']); "
        "print(sorted({'torch', 'transformers', 'open_clip'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

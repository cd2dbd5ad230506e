"""Texts beyond the model's 64 tokens: what was not read is told, and counted."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from medsiglip.checkpoint import TINY
from medsiglip.client.client import TruncatedTextWarning
from tests.api.conftest import Home, Phantoms, run
from tests.api.live_service import LiveService

pytestmark = pytest.mark.long

LONG = " ".join(["left pleural effusion and consolidation of the lower lobe"] * 20)
SHORT = "left pleural effusion"


def tokens(text: str) -> int:
    """Tokens of a text in transformers' tokenizer, without `</s>`."""
    from transformers import SiglipTokenizer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokenizer = SiglipTokenizer(str(TINY / "spiece.model"), model_max_length=64)
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])


def test_an_embedding_counts_all_tokens_and_says_which_were_not_read(service: LiveService) -> None:
    texts, length = [SHORT, LONG, "word " * 63, "word " * 64], {one: tokens(one) for one in (SHORT, LONG)}
    assert length[LONG] > 64
    with service.http("read") as http:
        body: Any = http.post("/v1/embeddings", json={"model": "", "input": texts}).json()
        sixty_three = tokens("word " * 63)
        sixty_four = tokens("word " * 64)
        total = sum(length.values()) + sixty_three + sixty_four
        read = length[SHORT] + 63 + min(sixty_three, 63) + min(sixty_four, 63)
        assert body["usage"] == {
            "prompt_tokens": total,
            "total_tokens": total,
            "truncated_tokens": total - read,
        }
        [warning] = body["warnings"]
        assert f"input 1 ({length[LONG]} tokens)" in warning
        whole = http.post("/v1/embeddings", json={"model": "", "input": SHORT}).json()
    assert whole["warnings"] == []
    assert whole["usage"] == {
        "prompt_tokens": length[SHORT],
        "total_tokens": length[SHORT],
        "truncated_tokens": 0,
    }


def test_the_client_warns_of_a_text_that_is_not_read_whole(service: LiveService, phantoms: Phantoms) -> None:
    file = next(iter(sorted(phantoms.dicom.rglob("*.dcm"))))
    with service.client("read") as client:
        with pytest.warns(TruncatedTextWarning, match="1 of 2 texts are longer"):
            client.embed_texts([SHORT, LONG])
        client.embed_texts([SHORT])
        found = client.search(text=LONG, k=1)
        assert len(found.warnings) == 1
        assert f"{tokens(LONG)} tokens" in found.warnings[0]
        assert client.search(text=SHORT, k=1).warnings == ()
        study = found.hits[0].study_instance_uid
        by_study = client.classify(study=study, labels=[SHORT, LONG])
        [by_file] = client.classify_files([file], labels=[SHORT, LONG])
        by_files = client.classify_files([file, file], labels=[SHORT, LONG])
        for scored in (by_study, by_file, *by_files):
            assert "1 of 2 labels" in scored.warnings[0]
        assert client.classify(study=study, labels=[SHORT, "mass"]).warnings == ()
        assert client.classify(study=study, prompts="chest-xray").warnings == ()


def test_commands_warn_of_texts_that_are_not_read_whole(home: Home, tmp_path: Path) -> None:
    study = home.run("study", "list").json["studies"][0]["study_instance_uid"]
    prompts = tmp_path / "own.toml"
    prompts.write_text(
        f'kind = "findings"\n[prompts.melanoma]\nabsent = ["no melanoma"]\npresent = ["melanoma", "{LONG}"]\n'
    )
    asked = {
        ("search", "--text", LONG): f"The text has {tokens(LONG)} tokens",
        ("classify", "--study", study, "--labels", f"mass,{LONG}"): "1 of 2 labels",
        ("classify", "--study", study, "--prompts", str(prompts)): "1 of 3 texts of prompt set own",
        ("evaluate", "zero-shot", "--prompts", str(prompts)): "1 of 3 texts of prompt set own",
    }
    for words, expected in asked.items():
        [warning] = home.run(*words).json["warnings"]
        assert expected in warning
        assert f"warning: {warning}" in home.show(*words).out
    assert home.run("search", "--text", SHORT).json["warnings"] == []
    assert "warning" not in home.show("search", "--text", SHORT).out


def test_tuning_counts_the_captions_that_are_not_read_whole(tmp_path: Path) -> None:
    from tests.api.archive.test_tuning import pairs

    data = pairs(tmp_path / "data", 8)
    table = (data / "metadata.csv").read_text()
    (data / "metadata.csv").write_text(f"{table}\n7.png,{LONG},train\n6.png,{'word ' * 3},train")
    words = ("tune", "--data", data, "--epochs", 1, "--batch-size", 4, "--out")
    report = run("--json", *words, tmp_path / "a").json
    assert report["captions_truncated"] == 1
    [warning] = report["warnings"]
    assert warning.startswith("1 of 10 captions are longer than the 63 tokens")
    assert f"warning: {warning}" in run(*words, tmp_path / "b").out


def test_every_bundled_prompt_is_read_whole() -> None:
    from medsiglip.zero_shot.prompt_file import list_prompt_sets, load_prompt_set

    for name in list_prompt_sets():
        for prompts in load_prompt_set(name).prompts.values():
            assert all(tokens(text) <= 63 for text in (*prompts.present, *prompts.absent))

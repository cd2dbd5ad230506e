from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sentencepiece import SentencePieceProcessor

from medsiglip.phantoms.catalogue import ANATOMIES
from medsiglip.phantoms.checkpoint.vocabulary import train_vocabulary
from medsiglip.phantoms.report import caption, read_phrases
from medsiglip.tokenizer import Tokenizer, canonicalise
from medsiglip.zero_shot.prompt_file import load_prompt_set

CAPTIONS = [
    caption(np.random.default_rng(i), read_phrases(name), ()) for name in ANATOMIES for i in range(50)
]


@pytest.fixture(scope="module")
def vocabulary() -> bytes:
    return train_vocabulary(CAPTIONS, [load_prompt_set("chest-xray")], 1200)


def test_special_pieces_are_where_siglip_has_them(vocabulary: bytes) -> None:
    pieces = SentencePieceProcessor(model_proto=vocabulary)
    assert [pieces.id_to_piece(i) for i in range(3)] == ["<pad>", "</s>", "<unk>"]
    assert pieces.unk_id() == 2
    assert pieces.get_piece_size() <= 1200


def test_same_texts_give_the_same_bytes(vocabulary: bytes) -> None:
    again = train_vocabulary(reversed(CAPTIONS), [load_prompt_set("chest-xray")], 1200)
    assert again == vocabulary


def test_any_text_survives_the_round_trip(vocabulary: bytes) -> None:
    pieces = SentencePieceProcessor(model_proto=vocabulary)
    for text in (*CAPTIONS, "naïve ångström 12 mm", "漢字 <b>x</b>"):
        words = canonicalise(text)
        assert pieces.decode(pieces.encode(words)) == words


def test_prompts_given_in_training_take_fewer_tokens(vocabulary: bytes, tmp_path: Path) -> None:
    prompts = [text for entry in load_prompt_set("chest-xray").prompts.values() for text in entry.present]
    tokens = []
    for number, trained in enumerate((vocabulary, train_vocabulary(CAPTIONS, [], 1200))):
        path = tmp_path / f"{number}.model"
        path.write_bytes(trained)
        tokenizer = Tokenizer(path, 64)
        tokens.append(int((tokenizer(prompts) != tokenizer.pad_id).sum()))
    assert tokens[0] < tokens[1]
    assert tokens[0] < sum(map(len, prompts)) / 3

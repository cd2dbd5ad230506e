"""A Gemma 3 checkpoint of a few thousand random weights, in the layout that real ones have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SIZE = 56
TOKENS_PER_IMAGE = 4
SPECIAL = (
    "<pad>",
    "<eos>",
    "<bos>",
    "<unk>",
    "<mask>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<start_of_image>",
    "<end_of_image>",
    "<image_soft_token>",
)
SENTENCES = (
    "The heart is of normal size and the lungs are clear.",
    "There is a small pleural effusion on the left side.",
    "No pneumothorax is seen; describe the findings of this picture.",
    "SLICE 0123456789: is there an intracranial haemorrhage?",
)
# Gemma's form: the system turn's text opens the first user turn, a picture stands where its part stands.
CHAT_TEMPLATE = """\
{{- bos_token -}}
{%- set opening = namespace(text='') -%}
{%- for message in messages -%}
  {%- if message['role'] == 'system' -%}
    {%- set opening.text = (message['content'] if message['content'] is string
                            else message['content'][0]['text']) + '\n\n' -%}
  {%- else -%}
    {{- '<start_of_turn>' + ('model' if message['role'] == 'assistant' else 'user') + '\n' + opening.text -}}
    {%- set opening.text = '' -%}
    {%- if message['content'] is string -%}
      {{- message['content'] -}}
    {%- else -%}
      {%- for part in message['content'] -%}
        {{- '<start_of_image>' if part['type'] == 'image' else part['text'] -}}
      {%- endfor -%}
    {%- endif -%}
    {{- '<end_of_turn>\n' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<start_of_turn>model\n' -}}{%- endif -%}
"""


def write_tiny_gemma(folder: Path, seed: int = 0) -> Path:
    """Write a random checkpoint with its processor to `folder`: 56 x 56 pixels and 4 tokens an image."""
    import torch
    from transformers import Gemma3ForConditionalGeneration, Gemma3ImageProcessor, Gemma3Processor

    tokenizer = _tokenizer()
    # The processor has the size of its own class for pictures; told none, it takes that of its base.
    pictures = Gemma3ImageProcessor(
        size={"height": SIZE, "width": SIZE}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    processor = Gemma3Processor(
        image_processor=pictures,
        tokenizer=tokenizer,
        chat_template=CHAT_TEMPLATE,
        image_seq_length=TOKENS_PER_IMAGE,
    )
    processor.save_pretrained(folder)
    torch.manual_seed(seed)
    model = Gemma3ForConditionalGeneration(_config(tokenizer))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # Weights as small as a fresh model's let no picture show in what is written.
            if "norm" not in name and weight.ndim > 1:
                weight.normal_(0.0, 0.4)
    model.generation_config.eos_token_id = [1, SPECIAL.index("<end_of_turn>")]
    model.generation_config.pad_token_id = 0
    model.save_pretrained(folder)
    return folder


def _wording() -> list[str]:
    from medsiglip.medgemma.prompting.template import templates

    texts = (text for one in templates().values() for text in (one.system, one.instruction, one.question))
    turns = [
        "user\n",
        "model\n",
        "PRIOR",
        "CURRENT",
        "Indication:",
        "IMAGE",
        "Report of this patient's earlier study",
    ]
    return [text for text in [*texts, *turns] if text] * 2


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.BPE(unk_token="<unk>"))
    words.normalizer = normalizers.Replace(" ", "▁")
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split("▁", behavior="merged_with_next"),
            pre_tokenizers.Digits(individual_digits=True),  # as Gemma's
        ]
    )
    words.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])
    alphabet = [chr(code) for code in range(33, 127)] + ["▁", "\n"]
    words.train_from_iterator(
        # Two line feeds are one token in Gemma's vocabulary, and so here, as are the words of the templates.
        [*SENTENCES, *_wording(), *["\n\n"] * 20],
        trainers.BpeTrainer(
            vocab_size=1200, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
        ),
    )
    made: Any = PreTrainedTokenizerFast
    return made(
        tokenizer_object=words,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        mask_token="<mask>",
        padding_side="left",
        extra_special_tokens={
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
            "image_token": "<image_soft_token>",
        },
        additional_special_tokens=["<start_of_turn>", "<end_of_turn>"],
    )


def _config(tokenizer: Any) -> Any:
    from transformers import Gemma3Config

    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    return Gemma3Config(
        text_config={
            **tower,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "query_pre_attn_scalar": 16,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": 4096,
            "sliding_window": 512,
            "tie_word_embeddings": False,
        },
        vision_config={**tower, "image_size": SIZE, "patch_size": 14},
        mm_tokens_per_image=TOKENS_PER_IMAGE,
        tie_word_embeddings=False,  # tied random weights repeat the last token
        boi_token_index=SPECIAL.index("<start_of_image>"),
        eoi_token_index=SPECIAL.index("<end_of_image>"),
        image_token_index=SPECIAL.index("<image_soft_token>"),
    )

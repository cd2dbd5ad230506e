"""A Gemma 3 checkpoint in this process: a tiny one of random weights, whose words mean nothing."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.generators.local_pipeline import LocalOptions, LocalPipeline, _inputs
from medsiglip.medgemma.prompting.budget import Budget, estimate_tokens
from medsiglip.medgemma.prompting.prompts import Prompt
from tests.medgemma.shown_studies import PICTURES, THREE, prompt_of

PICTURE = np.random.default_rng(5).integers(0, 256, (56, 56, 3), dtype=np.uint8)
SHORT = Prompt("x", None, ("Describe this picture.", PICTURE), 12, 100)


@pytest.fixture(scope="module")
def pipeline(tiny_gemma: Path) -> LocalPipeline:
    return LocalPipeline(str(tiny_gemma))


@pytest.fixture
def changed(tiny_gemma: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the checkpoint with other fields in one of its JSON files."""

    def change(file: str, **fields: object) -> Path:
        shutil.copytree(tiny_gemma, tmp_path / "copy", dirs_exist_ok=True)
        path = tmp_path / "copy" / file
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))
        return tmp_path / "copy"

    return change


def test_the_budget_is_what_the_checkpoint_can_take(pipeline: LocalPipeline, tiny_gemma: Path) -> None:
    assert pipeline.budget == Budget(4096, 85, tokens_per_picture=4)
    assert LocalPipeline(str(tiny_gemma), Budget(1000, 3)).budget == Budget(1000, 3, tokens_per_picture=4)
    assert LocalPipeline("google/medgemma-4b-it").budget == Budget()


@pytest.mark.parametrize("kind", THREE)
def test_a_study_is_drafted_within_the_budget(pipeline: LocalPipeline, kind: str) -> None:
    prompt = replace(prompt_of(THREE[kind], pipeline.budget), reply_tokens=20)
    assert len(prompt.image_ids) == PICTURES[kind]
    reply = pipeline.generate(prompt)
    assert reply.prompt_tokens is not None
    assert reply.completion_tokens is not None
    assert pipeline._loaded is not None
    assert reply.prompt_tokens == _inputs(pipeline._loaded, prompt)["input_ids"].shape[1]
    assert reply.prompt_tokens <= prompt.prompt_tokens
    assert reply.finish_reason == ("length" if reply.completion_tokens == 20 else "stop")
    assert pipeline.generate(prompt).text == reply.text


@pytest.mark.parametrize("count", [1, 2, 85])
def test_pictures_cost_what_the_budget_says(pipeline: LocalPipeline, count: int) -> None:
    def tokens(pictures: int, label: str = "") -> int:
        shown = [
            part for _ in range(pictures) for part in (PICTURE, label) if not isinstance(part, str) or part
        ]
        reply = pipeline.generate(Prompt("x", None, ("Describe.", *shown, "What?"), 20, 5))
        assert reply.prompt_tokens is not None
        return reply.prompt_tokens

    cost = pipeline.budget.picture_cost("")
    assert tokens(count) - tokens(0) == count * cost
    assert estimate_tokens("12") == 2
    assert tokens(count, "12") - tokens(0) == count * pipeline.budget.picture_cost("12")


@pytest.mark.parametrize("kind", THREE)
def test_pictures_reach_the_model_in_order(pipeline: LocalPipeline, tiny_gemma: Path, kind: str) -> None:
    from transformers import Gemma3ImageProcessor

    seen = []
    prompt = replace(prompt_of(THREE[kind], pipeline.budget), reply_tokens=12)
    pipeline.generate(prompt)
    assert pipeline._loaded is not None
    hook = pipeline._loaded.network.model.vision_tower.register_forward_pre_hook(
        lambda _tower, given, fields: seen.append(given[0] if given else fields["pixel_values"]),
        with_kwargs=True,
    )
    pipeline.generate(prompt)
    hook.remove()
    alone = Gemma3ImageProcessor.from_pretrained(tiny_gemma)
    shown = [part for part in prompt.parts if not isinstance(part, str)]
    towards = [pixels for batch in seen for pixels in batch]
    assert len(towards) == len(shown) == PICTURES[kind]
    for pixels, picture in zip(towards, shown, strict=True):
        expected = alone(Image.fromarray(picture), return_tensors="pt")["pixel_values"][0]
        assert (pixels.cpu() == expected).all()


def test_it_tells_two_pictures_apart(pipeline: LocalPipeline) -> None:
    assert pipeline.ready().ready


def test_a_prompt_and_a_reply_that_do_not_fit_are_refused(tiny_gemma: Path, pipeline: LocalPipeline) -> None:
    length = pipeline.generate(SHORT).prompt_tokens
    assert length is not None
    exact = LocalPipeline(str(tiny_gemma), Budget(length + SHORT.reply_tokens))
    assert exact.generate(SHORT).prompt_tokens == length
    with pytest.raises(DraftError, match=str(length)) as caught:
        exact.generate(replace(SHORT, reply_tokens=SHORT.reply_tokens + 1))
    assert caught.value.code == "prompt-too-long"


def test_float16_is_refused(tiny_gemma: Path) -> None:
    with pytest.raises(DraftError, match=r"float16 overflows.* use bfloat16 or float32") as caught:
        LocalPipeline(str(tiny_gemma), options=LocalOptions(precision="float16"))
    assert caught.value.code == "precision-refused"


def test_bfloat16(tiny_gemma: Path) -> None:
    reply = LocalPipeline(str(tiny_gemma), options=LocalOptions(precision="bfloat16")).generate(SHORT)
    assert reply.text


def test_a_checkpoint_stored_in_float16_runs_in_float32(
    tiny_gemma: Path, tmp_path: Path, pipeline: LocalPipeline
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "half"
    shutil.copytree(tiny_gemma, folder)
    weights = load_file(folder / "model.safetensors")
    halves = {name: weight.to(torch.float16) for name, weight in weights.items()}
    save_file(halves, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "float16"}))
    half = LocalPipeline(str(folder))
    assert half.generate(SHORT).text
    assert half._loaded is not None
    assert half._loaded.network.dtype == torch.float32


def test_what_is_not_a_number_is_told(tiny_gemma: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "broken"
    shutil.copytree(tiny_gemma, folder)
    weights = load_file(folder / "model.safetensors")
    [patches] = [name for name in weights if "patch_embedding.weight" in name]
    weights[patches] = weights[patches] * float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(DraftError) as caught:
        LocalPipeline(str(folder)).generate(SHORT)
    assert caught.value.code == "reply-not-a-number"
    assert LocalPipeline(str(folder)).ready().code == "reply-not-a-number"


def test_a_reply_of_nothing_but_its_end_is_empty(tiny_gemma: Path) -> None:
    empty = LocalPipeline(str(tiny_gemma))
    empty.generate(SHORT)
    assert empty._loaded is not None
    head = empty._loaded.network.lm_head.weight
    head.data.zero_()  # so that all are equally likely, and the first, <pad>, is taken
    with pytest.raises(DraftError) as caught:
        empty.generate(SHORT)
    assert caught.value.code == "reply-empty"
    assert empty.ready().code == "reply-empty"


def test_cancelling_ends_a_reply_between_two_tokens(pipeline: LocalPipeline) -> None:
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 4

    with pytest.raises(DraftError) as caught:
        pipeline.generate(replace(SHORT, reply_tokens=500), cancelled=cancelled)
    assert caught.value.code == "cancelled"
    assert len(asked) == 5
    assert pipeline.generate(SHORT).text


def test_a_late_reply_is_ended(tiny_gemma: Path) -> None:
    slow = LocalPipeline(str(tiny_gemma), options=LocalOptions(total=0.0))
    with pytest.raises(DraftError) as caught:
        slow.generate(SHORT)
    assert (caught.value.code, caught.value.may_pass) == ("generator-timeout", True)


def test_one_reply_at_a_time_and_who_waits_may_leave(pipeline: LocalPipeline) -> None:
    expected = pipeline.generate(SHORT).text
    assert pipeline._loaded is not None
    inside, go = threading.Event(), threading.Event()
    entered: list[int] = []

    def hold(_network: Any, _given: Any, _fields: Any) -> None:
        entered.append(threading.get_ident())
        inside.set()
        assert go.wait(30)

    hook = pipeline._loaded.network.register_forward_pre_hook(hold, with_kwargs=True)
    told: list[str] = []
    first = threading.Thread(target=lambda: told.append(pipeline.generate(SHORT).text))
    first.start()
    try:
        assert inside.wait(30)
        asked: list[int] = []

        def leaves() -> bool:
            asked.append(1)
            return len(asked) > 2

        with pytest.raises(DraftError) as caught:
            pipeline.generate(SHORT, cancelled=leaves)
        assert caught.value.code == "cancelled"
        assert set(entered) == {first.ident}
    finally:
        go.set()
        first.join()
        hook.remove()
    assert told == [expected]


def test_many_threads_get_what_one_gets(pipeline: LocalPipeline) -> None:
    prompts = [replace(SHORT, parts=(f"Number {n}:", PICTURE)) for n in range(4)]
    alone = [pipeline.generate(prompt).text for prompt in prompts]
    together: dict[int, str] = {}

    def ask(number: int) -> None:
        together[number] = pipeline.generate(prompts[number]).text

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[number] for number in range(4)] == alone


def test_no_checkpoint_and_one_that_is_no_generator(tmp_path: Path, changed: Callable[..., Path]) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DraftError, match="nothing") as caught:
        LocalPipeline(str(tmp_path / "nothing")).generate(SHORT)
    assert caught.value.code == "generator-model-unknown"
    unknown = changed("config.json", model_type="no-such-model", architectures=["No"])
    with pytest.raises(DraftError, match="cannot be loaded") as caught:
        LocalPipeline(str(unknown)).generate(SHORT)
    assert caught.value.code == "generator-failed"


def test_a_chat_template_that_drops_pictures_is_caught(tiny_gemma: Path, tmp_path: Path) -> None:
    folder = tmp_path / "blind"
    shutil.copytree(tiny_gemma, folder)
    template = (folder / "chat_template.jinja").read_text()
    assert "'<start_of_image>' if" in template
    (folder / "chat_template.jinja").write_text(template.replace("'<start_of_image>' if", "'' if"))
    found = LocalPipeline(str(folder)).ready()
    assert (found.ready, found.code) == (False, "generator-failed")
    assert "chat template" in found.message

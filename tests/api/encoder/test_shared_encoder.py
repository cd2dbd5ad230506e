"""The shared encoder with a real process behind it, compared with `Encoder`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from medsiglip.api.encoder import child
from medsiglip.api.encoder.shared_encoder import EncoderLimits, SharedEncoder
from medsiglip.api.errors import ServiceError
from medsiglip.checkpoint import TINY, open_checkpoint
from medsiglip.errors import ModelError
from tests.api.forked_encoders import Encoders

TEXTS = ["normal chest x-ray", "pneumothorax", "CT", "a mass in the left breast", "pneumothorax"]


@pytest.fixture(scope="module")
def encoder() -> Any:
    from medsiglip.encoder import Encoder

    return Encoder(open_checkpoint("tiny"), device="cpu")


@pytest.fixture(scope="module")
def images() -> Any:
    return np.random.default_rng(5).integers(0, 256, (70, 128, 128, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def vectors(encoder: Any, images: Any) -> Any:
    return encoder.encode_images(images)


@pytest.fixture(scope="module")
def shared(forked_encoders: Encoders) -> Iterator[Any]:
    """Its first process is forked; the one that replaces a killed one starts as any does."""
    limits = EncoderLimits(items=64, hang_seconds=2.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(child, "start_module", forked_encoders.start_module)
        shared = SharedEncoder(open_checkpoint("tiny"), device="cpu", limits=limits)
        assert shared.batch_size  # known when the process has started
    yield shared
    shared.close()


@pytest.fixture
def forked(forked_encoders: Encoders, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that start in this test are forked, where the test is not about how they start."""
    monkeypatch.setattr(child, "start_module", forked_encoders.start_module)


def close_to(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)


@pytest.mark.long
def test_it_has_the_properties_of_the_encoder(shared: Any, encoder: Any) -> None:
    names = ("profile", "precision", "dimension", "image_size", "batch_size", "logit_scale", "logit_bias")
    assert {name: getattr(shared, name) for name in names} == {name: getattr(encoder, name) for name in names}
    assert shared.device == str(encoder.device)
    assert shared.state.name == "ready"


def test_patches_are_those_of_the_encoder_and_pass_one_by_one(shared: Any, encoder: Any, images: Any) -> None:
    found = shared.encode_patches(images[:3])
    assert found.shape == (3, 2, 64, 128)
    np.testing.assert_allclose(found, encoder.encode_patches(images[:3]), rtol=0, atol=2e-4)
    assert set(shared.statistics().batches["patches"]) == {1}
    with pytest.raises(ModelError, match="Image 1"):
        shared.encode_patches([images[0], images[0][:64]])


def test_concurrent_calls_share_batches_and_get_their_own_vectors(
    shared: Any, images: Any, vectors: Any
) -> None:
    before = shared.statistics().batches["image"]
    with ThreadPoolExecutor(16) as pool:
        for _ in range(4):
            parts = list(pool.map(lambda i: shared.encode_images(images[i : i + 1]), range(40)))
            close_to(np.concatenate(parts), vectors[:40])
    after = shared.statistics().batches["image"]
    added = {size: count - before.get(size, 0) for size, count in after.items()}
    assert sum(size * count for size, count in added.items()) == 160
    assert sum(added.values()) < 160
    assert max(added) <= shared.batch_size


def test_a_call_larger_than_the_queue_is_split(shared: Any, images: Any, vectors: Any) -> None:
    close_to(shared.encode_images(images), vectors)
    close_to(shared.encode_images(list(images[::-1])), vectors[::-1])
    assert shared.statistics().waiting == 0


def test_texts_are_encoded_once(shared: Any, encoder: Any) -> None:
    expected = encoder.encode_texts(TEXTS)
    close_to(shared.encode_texts(TEXTS), expected)
    encoded = shared.statistics().batches["text"]
    close_to(shared.encode_texts(TEXTS[::-1]), expected[::-1])
    assert shared.statistics().batches["text"] == encoded
    assert sum(size * count for size, count in encoded.items()) == len(set(TEXTS))


def test_empty_input(shared: Any) -> None:
    assert shared.encode_images([]).shape == shared.encode_texts([]).shape == (0, 128)


@pytest.mark.parametrize(
    "call",
    [
        lambda one: one.encode_texts(["CT", "..."]),
        lambda one: one.encode_texts(["CT", "MR", None]),
        lambda one: one.encode_texts("CT"),
        lambda one: one.encode_images(np.zeros((2, 64, 64, 3), np.uint8)),
        lambda one: one.encode_images([np.zeros((128, 128, 3), np.uint8), "chest.png"]),
    ],
)
def test_errors_equal_those_of_the_encoder(shared: Any, encoder: Any, call: Any) -> None:
    raised = []
    for one in (encoder, shared):
        with pytest.raises(ModelError) as caught:
            call(one)
        raised.append((caught.value.code, str(caught.value)))
    assert raised[0] == raised[1]


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_killed_process_is_replaced_without_losing_a_call(shared: Any, images: Any, vectors: Any) -> None:
    restarts = shared.statistics().restarts
    killed = threading.Event()

    def ask(i: Any) -> Any:
        if i == 20:
            os.kill(shared.process_id, signal.SIGKILL)
            killed.set()
        return shared.encode_images(images[i : i + 1])

    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(ask, range(40)))
    assert killed.is_set()
    close_to(np.concatenate(parts), vectors[:40])
    assert shared.statistics().restarts == restarts + 1
    assert shared.state.name == "ready"


@pytest.mark.usefixtures("forked")
def test_a_hanging_process_is_replaced_and_a_full_queue_refuses_meanwhile(
    shared: Any, images: Any, vectors: Any
) -> None:
    restarts = shared.statistics().restarts
    hanging = psutil.Process(shared.process_id)
    hanging.suspend()
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(shared.encode_images, images[i : i + 16]) for i in range(0, 64, 16)]
        wait_for(lambda: shared.statistics().waiting == 64)
        with pytest.raises(ServiceError) as caught:
            shared.encode_images(images[:1])
        assert caught.value.code == "too-busy"
        assert caught.value.retry_after is not None
        assert caught.value.retry_after >= 1
        patient = threading.Thread(target=shared.patient.encode_images, args=(images[:1],))
        patient.start()
        wait_for(lambda: shared.state.name != "ready")
        assert "did not answer" in shared.state.why
        close_to(np.concatenate([one.result() for one in waiting]), vectors[:64])
        patient.join()
    assert not hanging.is_running()
    assert shared.statistics().restarts == restarts + 1


def damaged_checkpoint(folder: Any) -> Any:
    """`tiny`, but that the text tower gives no number for texts with "nodule"."""
    from safetensors.numpy import load_file, save_file

    from medsiglip.tokenizer import Tokenizer

    shutil.copytree(TINY, folder)
    weights = load_file(folder / "model.safetensors")
    piece = Tokenizer(folder / "spiece.model", 64)(["nodule"])[0, 0]
    weights["text_model.embeddings.token_embedding.weight"][piece] = np.nan
    (folder / "model.safetensors").unlink()
    save_file(weights, folder / "model.safetensors")
    return open_checkpoint(str(folder))


@pytest.mark.usefixtures("forked")
def test_an_item_that_crashes_the_process_fails_alone_and_closing_finishes_the_others(
    tmp_path: Path, encoder: Any, images: Any, vectors: Any
) -> None:
    """Texts that the model has no number for share batches with others."""
    words = ["CT", "pneumothorax", "chest", "lung", "breast", "left"]
    requests = [[f"{word} {n}" for word in words] for n in range(8)]
    requests[3][4] = "a nodule"
    shared = SharedEncoder(damaged_checkpoint(tmp_path / "damaged"), device="cpu")
    with ThreadPoolExecutor(9) as pool:
        answers = [pool.submit(shared.encode_texts, texts) for texts in requests]
        pictures = pool.submit(shared.encode_images, images)
        wait_for(lambda: shared.statistics().waiting == 48 + len(images))
        shared.close(60.0)
        for i, (texts, answer) in enumerate(zip(requests, answers, strict=True)):
            if i == 3:
                with pytest.raises(ModelError, match="text 4;") as caught:
                    answer.result()
                assert caught.value.code == "not-finite"
            else:
                close_to(answer.result(), encoder.encode_texts(texts))
        close_to(pictures.result(), vectors)
    sizes = shared.statistics().batches["text"]
    assert sum(size * count for size, count in sizes.items()) >= 43
    assert max(sizes) > 6
    assert shared.process_id is None
    with pytest.raises(ServiceError) as refused:
        shared.encode_texts(["CT"])
    assert refused.value.code == "shutting-down"


@pytest.mark.long
def test_a_model_that_cannot_be_loaded_is_reported(tmp_path: Path) -> None:
    shutil.copytree(TINY, tmp_path / "gone")
    checkpoint = open_checkpoint(str(tmp_path / "gone"))
    (tmp_path / "gone" / "model.safetensors").unlink()
    shared = SharedEncoder(checkpoint, device="cpu")
    try:
        with pytest.raises(ServiceError, match=r"model\.safetensors cannot be read") as caught:
            shared.encode_texts(["CT"])
        assert caught.value.code == "encoder-restarting"
        assert shared.state.name != "ready"
    finally:
        shared.close(0.0)


ORPHAN = """
import sys
from medsiglip.api.encoder.shared_encoder import SharedEncoder
from medsiglip.checkpoint import open_checkpoint
shared = SharedEncoder(open_checkpoint("tiny"), device="cpu")
shared.batch_size
assert "torch" not in sys.modules
print(shared.process_id, flush=True)
sys.stdin.read()
"""


@pytest.mark.long
def test_the_process_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHAN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    psutil.wait_procs([child], timeout=20)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE

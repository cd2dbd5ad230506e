"""The generator against `transformers serve`, a server of chat completions that nobody here wrote."""

from __future__ import annotations

import os
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.generators.local_pipeline import LocalPipeline
from medsiglip.medgemma.generators.openai_server import OpenAIServer, ServerOptions
from medsiglip.medgemma.prompting.budget import Budget
from tests.medgemma.shown_studies import PICTURES, THREE, prompt_of

START_SECONDS = 90
BUDGET = Budget(4096, 85, tokens_per_picture=4)
PROGRAM = Path(sysconfig.get_path("scripts")) / "transformers"


@pytest.fixture(scope="module")
def url(tiny_gemma: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of the tiny checkpoint, with caches of its own."""
    if not PROGRAM.is_file():
        pytest.skip("transformers is not installed")
    folder = tmp_path_factory.mktemp("serve")
    (folder / "hub").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(folder / "hub")}
    environment |= {"OMP_NUM_THREADS": "1"}
    place = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [PROGRAM, "serve", str(tiny_gemma), *place], stdout=log, stderr=log, env=environment
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(port):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def server(url: str, tiny_gemma: Path) -> OpenAIServer:
    return OpenAIServer(url, str(tiny_gemma), BUDGET)


@pytest.fixture(scope="module")
def local(tiny_gemma: Path) -> LocalPipeline:
    return LocalPipeline(str(tiny_gemma))


@pytest.mark.long(every=3)
@pytest.mark.parametrize("kind", THREE)
def test_it_writes_what_the_same_checkpoint_writes_here(
    server: OpenAIServer, local: LocalPipeline, kind: str
) -> None:
    prompt = replace(prompt_of(THREE[kind], BUDGET), reply_tokens=30)
    assert len(prompt.image_ids) == PICTURES[kind]
    there, here = server.generate(prompt), local.generate(prompt)
    assert there.text == here.text
    assert (there.prompt_tokens, there.finish_reason) == (here.prompt_tokens, here.finish_reason)
    assert there.prompt_tokens is not None
    assert there.prompt_tokens <= prompt.prompt_tokens


def test_jpeg_is_taken_too(url: str, tiny_gemma: Path) -> None:
    prompt = replace(prompt_of(THREE["pair"], BUDGET), reply_tokens=10)
    small = OpenAIServer(url, str(tiny_gemma), BUDGET, ServerOptions(picture_format="jpeg"))
    assert small.generate(prompt).text


def test_it_is_ready(server: OpenAIServer) -> None:
    found = server.ready()
    assert (found.ready, found.code) == (True, None)


def test_a_model_that_it_does_not_serve_is_told(url: str) -> None:
    prompt = replace(prompt_of(THREE["single"], BUDGET), reply_tokens=10)
    with pytest.raises(DraftError) as caught:
        OpenAIServer(url, "google/no-such-model", BUDGET).generate(prompt)
    assert (caught.value.code, caught.value.may_pass) == ("generator-model-unknown", False)


def test_a_cancelled_reply_leaves_the_server_well(server: OpenAIServer) -> None:
    prompt = prompt_of(THREE["single"], BUDGET)
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 1

    with pytest.raises(DraftError) as caught:
        server.generate(replace(prompt, reply_tokens=3000), cancelled=cancelled)
    assert caught.value.code == "cancelled"
    assert server.generate(replace(prompt, reply_tokens=10)).text

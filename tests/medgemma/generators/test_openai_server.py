"""A generator behind chat completions, against a server that fails in every way there is, over real HTTP."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import random
import socket
import threading
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.responses import JSONResponse

from medsiglip.medgemma.checks.verify import check_draft
from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.generators.openai_server import OpenAIServer, Retries, ServerOptions, TimeLimits
from medsiglip.medgemma.prompting.budget import Budget
from medsiglip.medgemma.prompting.prompts import Prompt
from medsiglip.medgemma.records import Evidence, Finding
from tests.medgemma.scripted_server import Script, Turn, error_of, event, pictures, raw, reply_of

QUICK = Retries(tries=3, first_wait=0.01)
NOISE = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
PROMPT = Prompt("chest-xray", "You are an expert.", ("First:", NOISE[0], "then:", NOISE[1], "what?"), 50, 600)
GOOD = "The lungs are clear."


@pytest.fixture
def script(script: Script) -> Script:
    script.turns = [reply_of(GOOD)]
    return script


def generator(script: Script, **limits: float) -> OpenAIServer:
    options = ServerOptions(api_key="secret-key", limits=TimeLimits(**limits), retries=QUICK)
    return OpenAIServer(script.url, "scripted", Budget(), options)


def failure(script: Script, *turns: Turn, **limits: float) -> DraftError:
    script.turns = list(turns)
    with pytest.raises(DraftError) as caught:
        generator(script, **limits).generate(PROMPT)
    assert "secret-key" not in str(caught.value)
    return caught.value


def test_the_request_holds_texts_and_pictures_in_order_and_the_key(script: Script) -> None:
    reply = generator(script).generate(PROMPT)
    assert (reply.text, reply.finish_reason, reply.model) == (GOOD, "stop", "scripted")
    assert (reply.prompt_tokens, reply.completion_tokens, reply.thinking) == (300, 7, None)
    [body] = script.requests
    system, user = body["messages"]
    assert system == {"role": "system", "content": "You are an expert."}
    assert [part["type"] for part in user["content"]] == ["text", "image_url", "text", "image_url", "text"]
    assert [part["text"] for part in user["content"][::2]] == ["First:", "then:", "what?"]
    for uri, sent in zip(pictures(body), NOISE, strict=True):
        head, _, encoded = uri.partition(",")
        assert head == "data:image/png;base64"
        assert (np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded)))) == sent).all()
    assert (body["max_tokens"], body["temperature"], body["model"]) == (50, 0.0, "scripted")
    assert script.headers[0]["authorization"] == "Bearer secret-key"


@pytest.mark.parametrize(
    "raw_text",
    [
        "<unused94>thought\nA long thought.<unused95>The heart is large.",
        "thought\nA long thought.<unused95>The heart is large.",
        "A long thought.<unused95>The heart is large.<end_of_turn>",
    ],
)
def test_a_thought_is_split_off(script: Script, raw_text: str) -> None:
    script.turns = [reply_of(raw_text)]
    reply = generator(script).generate(PROMPT)
    assert (reply.text, reply.thinking) == ("The heart is large.", "A long thought.")


def test_a_thought_that_the_server_split_off_is_kept_apart(script: Script) -> None:
    script.turns = [reply_of("The heart is large.", thinking="A long thought.")]
    reply = generator(script).generate(PROMPT)
    assert (reply.text, reply.thinking) == ("The heart is large.", "A long thought.")


@pytest.mark.parametrize(
    ("turn", "code", "tries", "named"),
    [
        (reply_of(""), "reply-empty", 1, "wrote no text"),
        (reply_of("<pad><pad><pad>"), "reply-empty", 1, "float16"),
        (reply_of("<unused94>thought\nI wonder", "length"), "reply-empty", 1, "thinking_tokens"),
        (reply_of("thought\nI wonder. The heart is large."), "reply-empty", 1, "keep special tokens"),
        (reply_of("I'm sorry, but I cannot interpret medical images."), "reply-refused", 1, "declined"),
        (reply_of("It", "content_filter"), "reply-refused", 1, "declined"),
        (raw(event({"refusal": "No."}, "stop")), "reply-refused", 1, "declined"),
        (error_of(500), "generator-failed", 3, "status 500"),
        (error_of(503), "generator-failed", 3, "status 503"),
        (error_of(429), "generator-busy", 3, "429"),
        (error_of(401), "generator-unauthorised", 1, "401"),
        (error_of(404, "The model x does not exist"), "generator-model-unknown", 1, "404"),
        (error_of(400, "maximum context length is 8192"), "prompt-too-long", 1, "2 pictures"),
        (error_of(400, "At most 1 image(s) may be provided"), "too-many-pictures", 1, "1 picture and"),
        (error_of(400, "maximum context length is 9"), "prompt-too-long", 1, "600 tokens"),
        (error_of(422, "PATIENT TEXT"), "generator-rejected", 1, "422"),
        (error_of(302, location="http://127.0.0.1:9/v1"), "generator-redirect", 1, "302"),
        (raw(event({"content": "The lu"})), "reply-cut-off", 3, "broke off"),
        (raw("data: {not JSON\n\n"), "reply-broken", 3, "not JSON"),
        (raw('data: {"id": 1}\n\n'), "reply-broken", 3, "'choices'"),
        (raw("data: [1]\n\n"), "reply-broken", 3, "malformed"),
        (raw("<html>a login page</html>"), "reply-cut-off", 3, "broke off"),
        (raw('data: {"error": "CUDA"}\n\n'), "generator-failed", 3, "within its reply"),
        (raw("data: " + "x" * (2 << 20)), "reply-broken", 3, "DecodingError"),
        (raw(event({"content": "x" * 200_001})), "reply-broken", 1, "does not end"),
    ],
)
def test_what_a_server_does_wrong_has_a_code(
    script: Script, turn: Turn, code: str, tries: int, named: str
) -> None:
    error = failure(script, turn)
    assert (error.code, len(script.requests), error.may_pass) == (code, tries, tries > 1)
    assert named in str(error)
    assert "PATIENT TEXT" not in str(error)


@pytest.mark.parametrize("bad", [error_of(500), error_of(429, retry_after="0"), raw("data: {"), raw("")])
def test_a_failure_that_passes_is_tried_again(script: Script, bad: Turn) -> None:
    script.turns = [bad, bad, reply_of(GOOD)]
    assert generator(script).generate(PROMPT).text == GOOD
    assert len(script.requests) == 3
    assert script.requests[0] == script.requests[2]


def test_retry_after_is_heeded_as_a_number_and_as_a_date(script: Script) -> None:
    late = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    for requested in ("3600", late):
        script.reset()
        error = failure(script, error_of(429, retry_after=requested), reply_of(GOOD), total=30.0)
        # An hour is beyond the limit of all tries, so that waiting would be in vain.
        assert (error.code, len(script.requests)) == ("generator-busy", 1)
    gone = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    script.reset()
    script.turns = [error_of(429, retry_after=gone), reply_of(GOOD)]
    assert generator(script).generate(PROMPT).text == GOOD


def test_waits_double_up_to_their_bound() -> None:
    random.seed(0)
    retries = Retries(first_wait=1.0, longest_wait=8.0)
    for failures, most in enumerate((1, 2, 4, 8, 8, 8), start=1):
        waits = [retries.wait(failures, None) for _ in range(50)]
        assert most / 2 <= min(waits) <= max(waits) <= most
    assert retries.wait(1, 20.0) == 20.0


def test_a_reply_that_does_not_stream_and_odd_line_ends_are_read(script: Script) -> None:
    whole = {"choices": [{"message": {"content": GOOD}, "finish_reason": "stop"}], "model": "m"}
    script.turns = [lambda _body: JSONResponse(whole)]
    assert generator(script).generate(PROMPT).text == GOOD
    odd = "One\u2028two\x85three\x0bfour."
    script.reset()
    script.turns = [raw(": ping\r\n\r\n", event({"content": odd}).replace("\n", "\r\n"), event({}, "stop"))]
    assert generator(script).generate(PROMPT).text == "One\ntwo\nthree\nfour."


def test_a_reply_at_its_limit_says_so(script: Script) -> None:
    script.turns = [reply_of("The lungs are", "length")]
    assert generator(script).generate(PROMPT).finish_reason == "length"


def test_a_server_that_hangs_is_left(script: Script) -> None:
    hangs = script.slow(1, 60)
    assert failure(script, hangs, between_tokens=0.2).code == "generator-timeout"
    assert script.left.wait(10)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        mute = OpenAIServer(url, "m", options=ServerOptions(limits=TimeLimits(first_token=0.2)))
        with pytest.raises(DraftError, match="had not begun its reply") as caught:
            mute.generate(PROMPT)
        assert caught.value.code == "generator-timeout"


def test_a_whole_reply_whose_stream_stays_open_is_taken(script: Script) -> None:
    async def events() -> AsyncIterator[str]:
        yield event({"content": GOOD}, "stop")
        await asyncio.sleep(60)

    from starlette.responses import StreamingResponse

    script.turns = [lambda _body: StreamingResponse(events(), media_type="text/event-stream")]
    assert generator(script, between_tokens=0.2).generate(PROMPT).text == GOOD


def test_the_limit_of_all_ends_a_stream_that_goes_on(script: Script) -> None:
    error = failure(script, script.slow(1000, 0.05), total=0.4)
    assert error.code == "generator-timeout"
    assert "finished its reply" in str(error)
    assert script.left.wait(10)


def test_cancelling_between_two_pieces_drops_the_connection(script: Script) -> None:
    script.turns = [script.slow(1000, 0.05)]
    begun = time.monotonic()
    with pytest.raises(DraftError) as caught:
        generator(script).generate(PROMPT, cancelled=lambda: time.monotonic() - begun > 0.3)
    assert caught.value.code == "cancelled"
    assert script.left.wait(10)
    script.reset()
    with pytest.raises(DraftError):
        generator(script).generate(PROMPT, cancelled=lambda: True)
    assert script.requests == []


def test_nobody_there(script: Script) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    away = OpenAIServer(f"http://127.0.0.1:{port}", "m", options=ServerOptions(retries=QUICK))
    with pytest.raises(DraftError, match=str(port)) as caught:
        away.generate(PROMPT)
    assert (caught.value.code, caught.value.may_pass) == ("generator-down", True)
    assert away.ready().code == "generator-down"


@pytest.mark.parametrize(
    "url", ["host:8000", "ftp://host", "http://me:word@host/v1", "http://h/v1?key=1", ""]
)
def test_a_url_that_cannot_be_used(url: str) -> None:
    with pytest.raises(DraftError) as caught:
        OpenAIServer(url, "m")
    assert caught.value.code == "bad-generator-url"
    assert "word" not in str(caught.value)


def test_many_threads_each_get_their_own_reply(script: Script) -> None:
    script.turns = [lambda body: reply_of(f"Number {body['messages'][0]['content'][0]['text']}.")(body)]
    server, found = generator(script), {}

    def ask(number: int) -> None:
        found[number] = server.generate(Prompt("x", None, (str(number), NOISE[0]), 5, 5)).text

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: f"Number {number}." for number in range(8)}


# Readiness: blind servers


def by_picture(body: dict[str, Any]) -> str:
    """What one that sees says: another sentence for another picture."""
    return f"Sum {sum(json.dumps(pictures(body)).encode())}."


def test_a_server_that_sees_is_ready_and_is_not_asked_again(script: Script) -> None:
    script.turns = [lambda body: reply_of(by_picture(body))(body)]
    server = generator(script)
    first = server.ready()
    assert (first.ready, first.code, first.model) == (True, None, "scripted")
    sent = len(script.requests)
    assert server.ready() == first
    assert len(script.requests) == sent
    assert len({pictures(one)[0] for one in script.requests}) == 2


@pytest.mark.parametrize("answers", [["A chest X-ray."], ["A  CHEST x-ray.", "A chest X-ray."]])
def test_a_blind_server_is_caught(script: Script, answers: list[str]) -> None:
    script.turns = [reply_of(answer) for answer in answers]
    found = generator(script).ready()
    assert (found.ready, found.code) == (False, "image-blind")


def test_a_blind_server_that_answers_anew_each_time_is_caught(script: Script) -> None:
    script.turns = [reply_of(f"Answer {number}: a red or blue thing.") for number in range(9)]
    assert generator(script).ready().code == "image-blind"


def test_an_unsteady_server_that_names_the_colours_sees(script: Script) -> None:
    script.turns = [reply_of("A red disc."), reply_of("Blue stripes."), reply_of("A disc, red.")]
    assert generator(script).ready().ready


def test_a_context_that_is_too_small_is_told(script: Script) -> None:
    script.models = [{"id": "scripted", "max_model_len": 8192}]
    found = generator(script).ready()
    assert (found.ready, found.code) == (False, "context-too-small")
    assert "8192" in found.message
    assert script.requests == []


@pytest.mark.parametrize("models", [[], [{}], ["x"], [{"id": "scripted", "max_model_len": "many"}]])
def test_a_list_of_models_that_tells_nothing_is_no_harm(script: Script, models: list) -> None:  # type: ignore[type-arg]
    script.models = models
    script.turns = [lambda body: reply_of(by_picture(body))(body)]
    assert generator(script).ready().ready


# Checks of a reply


@pytest.mark.parametrize(
    ("sentence", "verdict"),
    [
        ("There is a large pneumothorax on the right.", "contradict"),
        ("No pneumothorax is seen.", "agree"),
        ("There is no evidence of pneumothorax, which is excluded.", "agree"),
        ("The lungs are free of pleural effusion.", "contradict"),
        ("A left pleural effusion is present.", "agree"),
    ],
)
def test_contradictions_and_negated_options_are_told_from_the_scores(
    script: Script, sentence: str, verdict: str
) -> None:
    script.turns = [reply_of(sentence)]
    text = generator(script).generate(PROMPT).text
    findings = (
        Finding("pneumothorax", 0.02, False, "prompts:chest-xray", 1),
        Finding("pleural effusion", 0.97, True, "prompts:chest-xray", 1),
    )
    evidence = Evidence("2.25.1", "space", "DX", "CHEST", "chest-xray", findings)
    assert {check.verdict for check in check_draft(text, evidence)} == {verdict}

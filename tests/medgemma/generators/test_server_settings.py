"""The settings of a server in generators.toml: each is sent or heeded, checked, and kept secret."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
import tomllib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.responses import JSONResponse, StreamingResponse

from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.generators import kinds
from medsiglip.medgemma.generators.generators import Generator
from medsiglip.medgemma.generators.kinds import generator_kind, read_generator
from medsiglip.medgemma.generators.openai_server import OpenAIServer, Retries
from medsiglip.medgemma.generators.request_body import Remembered, Taken, other_reply_limit, without_system
from medsiglip.medgemma.prompting.prompts import Prompt
from tests.medgemma.scripted_server import Script, Turn, error_of, event, pictures, raw, reply_of
from tests.repository import ROOT

NOISE = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
PROMPT = Prompt("chest-xray", "You are an expert.", ("First:", NOISE, "what?"), 50, 600)
GOOD = "The lungs are clear."
SECRET = "hidden-words-of-a-gateway"


@pytest.fixture
def script(script: Script) -> Script:
    script.turns = [reply_of(GOOD)]
    return script


def made(script: Script, **settings: Any) -> Generator:
    return read_generator("near", {"url": script.url, "model": "m", **settings}).make()


def sent(script: Script, **settings: Any) -> dict[str, Any]:
    """The body of the request for one draft."""
    assert made(script, **settings).generate(PROMPT).text == GOOD
    return script.requests[-1]


# Each setting


def test_headers_are_sent_from_the_settings_and_from_files(script: Script, tmp_path: Path) -> None:
    (tmp_path / "gateway").write_text(f"{SECRET}\n")
    headers = {"X-Department": "radiology", "X-Gateway": {"file": str(tmp_path / "gateway")}}
    sent(script, headers=headers)
    assert script.headers[-1]["x-department"] == "radiology"
    assert script.headers[-1]["x-gateway"] == SECRET


def test_further_fields_are_sent_and_replace_the_temperature(script: Script) -> None:
    body = sent(script, body={"top_k": 64, "temperature": 0.5, "chat_template_kwargs": {"thinking": False}})
    assert (body["top_k"], body["temperature"]) == (64, 0.5)
    assert body["chat_template_kwargs"] == {"thinking": False}
    assert body["max_tokens"] == 50


def test_pictures_are_sent_in_the_format_that_is_set(script: Script) -> None:
    assert pictures(sent(script))[0].startswith("data:image/png;")
    assert pictures(sent(script, picture_format="jpeg"))[0].startswith("data:image/jpeg;")


def test_a_reply_is_not_streamed_where_that_is_set(script: Script) -> None:
    assert sent(script)["stream"] is True
    whole = {"choices": [{"message": {"content": GOOD}, "finish_reason": "stop"}]}
    script.turns = [lambda _body: JSONResponse(whole)]
    assert sent(script, streaming=False).keys().isdisjoint({"stream", "stream_options"})


def test_a_failed_request_is_repeated_as_often_as_is_set(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Retries, "wait", lambda *_: 0.0)
    for retries in (0, 2):
        script.reset()
        script.turns = [error_of(500)]
        with pytest.raises(DraftError):
            made(script, retries=retries).generate(PROMPT)
        assert len(script.requests) == retries + 1


def stream_of(*events: str | float) -> Turn:
    """A stream of these events; a number is a wait in seconds."""

    async def sent_one_by_one() -> AsyncIterator[str]:
        for one in events:
            if isinstance(one, str):
                yield one
            else:
                await asyncio.sleep(one)

    return lambda _body: StreamingResponse(sent_one_by_one(), media_type="text/event-stream")


WORD, END = event({"content": "word "}), event({"content": GOOD}, "stop")


@pytest.mark.parametrize(
    ("limit", "events", "named"),
    [("first_token", (1.0, END), "begun"), ("between_tokens", (WORD, 1.0, END), "another word")],
)
def test_time_limits_are_heeded(script: Script, limit: str, events: tuple[Any, ...], named: str) -> None:
    script.turns = [stream_of(*events)]
    with pytest.raises(DraftError, match=named) as caught:
        made(script, timeouts={limit: 0.2}, retries=0).generate(PROMPT)
    assert caught.value.code == "generator-timeout"


def test_the_limit_of_all_tries_is_heeded(script: Script) -> None:
    script.turns = [script.slow(1000, 0.05)]
    with pytest.raises(DraftError, match="finished its reply"):
        made(script, timeouts={"total": 0.4}).generate(PROMPT)


def test_signs_of_life_postpone_the_limit(script: Script) -> None:
    """Comments keep the connection of a slow server open (server-sent events, 9.2.7)."""
    script.turns = [stream_of(*(": ping\n\n", 0.1) * 12, END)]
    assert made(script, timeouts={"first_token": 0.6}, retries=0).generate(PROMPT).text == GOOD


def test_the_count_of_the_prompt_is_compared_unless_it_is_not_to_be(script: Script) -> None:
    usage = {"prompt_tokens": 40, "completion_tokens": 7}
    counted = f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n"
    script.turns = [raw(event({"content": GOOD}, "stop"), counted, "data: [DONE]\n\n")]
    with pytest.raises(DraftError, match="40 tokens") as caught:
        made(script).generate(PROMPT)
    assert caught.value.code == "prompt-cut"
    assert made(script, check_prompt_tokens=False).generate(PROMPT).prompt_tokens == 40


@pytest.mark.parametrize(
    ("setting", "value", "named"),
    [
        ("url", "ftp://host", "give it as http://HOST:PORT/v1"),
        ("timeouts", {"read": 5}, "'read' cannot be used; use connect, first_token"),
        ("timeouts", {"total": 0}, "in seconds above 0"),
        ("timeouts", {"total": "5"}, "in seconds above 0"),
        ("timeouts", {"total": True}, "in seconds above 0"),
        ("timeouts", {"total": float("nan")}, "in seconds above 0"),
        ("timeouts", 5, "timeouts (table)"),
        ("retries", -1, "from 0 to 20, not -1"),
        ("retries", 21, "from 0 to 20, not 21"),
        ("retries", True, "retries (whole number)"),
        ("picture_format", "gif", "use png or jpeg"),
        ("headers", {"Bad Name": "x"}, "'Bad Name' cannot be sent"),
        ("headers", {"Host": "x"}, "'Host' cannot be sent"),
        ("headers", {"X-A": "one\ntwo"}, "a line of ASCII"),
        ("headers", {"X-A": "é"}, "a line of ASCII"),
        ("headers", {"X-A": 5}, "a line of ASCII"),
        ("headers", {"X-A": {"path": "x"}}, 'file = "PATH"'),
        ("body", {"model": "other"}, "model is set by the prompt"),
        ("body", {"stream": False}, "stream is set by the prompt"),
        ("body", {"seed": float("inf")}, "JSON has not"),
        ("streaming", "no", "streaming (true or false)"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_field_and_the_cure(
    setting: str, value: object, named: str
) -> None:
    table = {"url": "http://x", "model": "m", setting: value}
    with pytest.raises(DraftError, match=re.escape(named)) as caught:
        read_generator("near", table)
    assert caught.value.code == "bad-generators"
    assert setting in str(caught.value)
    assert "near" in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("key_file", "FILE"), ("ca_file", "FILE"), ("headers", {"X-A": {"file": "FILE"}})],
)
@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"two\nlines"])
def test_a_file_that_cannot_be_used_is_named(
    setting: str, value: object, content: bytes | None, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    given = json.loads(json.dumps(value).replace("FILE", str(file)))
    with pytest.raises(DraftError, match=re.escape(str(file))) as caught:
        read_generator("near", {"url": "https://x", "model": "m", setting: given}).make()
    assert caught.value.code == "bad-generators"
    assert "lines" not in str(caught.value).replace(str(file), "")


def test_secrets_are_in_no_message_and_no_log(
    script: Script, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Retries, "wait", lambda *_: 0.0)
    caplog.set_level(logging.DEBUG)
    (tmp_path / "key").write_text(SECRET)
    settings = read_generator(
        "near",
        {
            "url": script.url,
            "model": "m",
            "key_file": str(tmp_path / "key"),
            "headers": {"X-A": SECRET, "X-B": {"file": str(tmp_path / "key")}},
            "body": {"user": SECRET},
        },
    )
    generator = settings.make()
    script.turns = [
        error_of(500),
        error_of(400, f"unknown parameter stream_options {SECRET}"),
        reply_of(GOOD),
    ]
    assert generator.generate(PROMPT).text == GOOD
    script.turns = [error_of(400, SECRET)]
    with pytest.raises(DraftError) as caught:
        generator.generate(PROMPT)
    assert isinstance(generator, OpenAIServer)
    shown = f"{caught.value} {settings!r} {generator!r} {generator._options!r} {generator.ready()!r}"
    assert SECRET not in shown
    assert SECRET not in caplog.text


def test_every_setting_is_described_and_the_examples_can_be_used() -> None:
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    example = re.search(r"## Generators\n.*?```toml\n(.*?)```", page, re.DOTALL)
    assert example is not None
    described = (kinds.__doc__ or "").partition("::")[2]
    for text in (example[1], described):
        tables = tomllib.loads(text)
        read = [read_generator(name, table) for name, table in tables.items()]
        named = {key for table in tables.values() for key in table}
        assert named >= {field for one in read for field in one.kind.fields}
    assert {one.kind.name for one in read} == set(kinds.MODULES)
    assert generator_kind("openai").fields.keys() <= {*re.findall(r"^([a-z_]+) =", example[1], re.MULTILINE)}


# What a server does not take


def refusing(message: str, refused: Callable[[dict[str, Any]], bool]) -> Turn:
    """A server that refuses a body, and answers any other."""
    return lambda body: error_of(400, message)(body) if refused(body) else reply_of(GOOD)(body)


def learning(script: Script, turn: Turn) -> list[dict[str, Any]]:
    """The bodies that two drafts send to a server that refuses some."""
    script.turns = [turn]
    generator = OpenAIServer(script.url, "m")
    assert [generator.generate(PROMPT).text for _ in range(2)] == [GOOD, GOOD]
    return script.requests


def test_the_limit_of_the_reply_has_another_name(script: Script) -> None:
    turn = refusing("Unsupported parameter: 'max_tokens'. Use another.", lambda body: "max_tokens" in body)
    first, second, third = learning(script, turn)
    assert "max_completion_tokens" not in first
    assert second == third
    assert (second["max_completion_tokens"], "max_tokens" in second) == (50, False)


def test_a_server_without_any_limit_of_the_reply_gets_none(script: Script) -> None:
    turn = refusing(
        "extra fields not permitted: max_tokens",
        lambda body: bool({"max_tokens", "max_completion_tokens"} & set(body)),
    )
    bodies = learning(script, turn)
    assert len(bodies) == 4
    assert bodies[-1].keys().isdisjoint({"max_tokens", "max_completion_tokens"})


def test_the_system_text_opens_the_user_s_turn(script: Script) -> None:
    turn = refusing("Only user and assistant roles are supported: roles must alternate", has_system)
    _, second, third = learning(script, turn)
    assert second == third
    [user] = second["messages"]
    assert user["role"] == "user"
    assert user["content"][0] == {"type": "text", "text": "You are an expert.\n\nFirst:"}
    assert [part["type"] for part in user["content"]] == ["text", "image_url", "text"]


def has_system(body: dict[str, Any]) -> bool:
    return bool(body["messages"][0]["role"] == "system")


def test_a_refused_role_without_a_system_turn_is_told(script: Script) -> None:
    script.turns = [error_of(400, "System role not supported")]
    with pytest.raises(DraftError, match="chat template") as caught:
        OpenAIServer(script.url, "m").generate(replace(PROMPT, system=None))
    assert caught.value.code == "system-role-refused"
    assert len(script.requests) == 1


def test_large_bodies_are_sent_again_with_smaller_pictures(script: Script) -> None:
    def refused(body: dict[str, Any]) -> bool:
        return any("png" in picture[:30] for picture in pictures(body))

    _, second, third = learning(script, refusing("request body too large", refused))
    assert pictures(second) == pictures(third)
    assert pictures(second)[0].startswith("data:image/jpeg;")


def test_streaming_and_temperature_are_left_out_together(script: Script) -> None:
    def turn(body: dict[str, Any]) -> Any:
        if "stream_options" in body:
            return error_of(400, "Unrecognized request argument supplied: stream_options")(body)
        if "temperature" in body:
            return error_of(422, "temperature must be strictly positive")(body)
        if body.get("stream"):
            return error_of(501, "streaming is not supported")(body)
        return JSONResponse({"choices": [{"message": {"content": GOOD}, "finish_reason": "stop"}]})

    bodies = learning(script, turn)
    assert len(bodies) == 5
    assert bodies[-1].keys() == {"model", "messages", "max_tokens"}


def test_what_is_learned_is_known_to_the_next_generator_of_the_same_server(script: Script) -> None:
    script.turns = [refusing("System role not supported", has_system)]
    table = {"url": script.url, "model": "of-two-generators"}
    for _ in range(2):
        assert read_generator("near", table).make().generate(PROMPT).text == GOOD
    assert len(script.requests) == 3
    assert read_generator("near", table | {"model": "another"}).make().generate(PROMPT).text == GOOD
    assert len(script.requests) == 5


def test_two_requests_that_are_refused_at_once_leave_out_one_thing() -> None:
    """Both were sent with max_tokens: the second refusal says nothing of max_completion_tokens."""
    known = Remembered(Taken())
    before = known.taken
    assert known.leave_out(before, other_reply_limit)
    assert known.leave_out(before, other_reply_limit)
    assert known.taken.reply_limit == "max_completion_tokens"
    threads = [
        threading.Thread(target=known.leave_out, args=(before, change))
        for change in (without_system, other_reply_limit) * 20
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert known.taken == Taken(reply_limit="max_completion_tokens", system=False)
    assert not known.leave_out(known.taken, without_system)

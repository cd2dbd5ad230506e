"""What is read of a reply: its text without what is no report, and why a text is none."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.generators.replies import RawReply, Reply, read_reply, why_incomplete
from medsiglip.medgemma.generators.thoughts import PAIRS, split_thinking
from medsiglip.medgemma.prompting.budget import is_cut
from medsiglip.medgemma.prompting.prompts import Prompt
from tests.linear_work import check_growth

REPORT = "The mediastinum is not widened. Both hila look normal."
PROMPT = Prompt(
    "chest-xray",
    "You are an expert radiologist.",
    (
        "Describe the findings of this chest X-ray succinctly.\nIndication: cough and fever for three days",
        "IMAGE 1:",
        np.zeros((4, 4, 3), np.uint8),
    ),
    100,
    600,
)


def read(text: str, finish_reason: str | None = "stop", completion_tokens: int | None = None) -> Reply:
    return read_reply(RawReply(text, "m", finish_reason, completion_tokens=completion_tokens), PROMPT)


def code(text: str, finish_reason: str | None = "stop") -> str:
    with pytest.raises(DraftError) as caught:
        read(text, finish_reason)
    return caught.value.code


# Thoughts


@pytest.mark.parametrize(("begin", "end"), PAIRS)
def test_a_thought_is_split_off_at_its_end(begin: str, end: str) -> None:
    for raw in (f"{begin}Is it large?{end}{REPORT}", f"Is it large?{end}\n{REPORT}"):
        assert split_thinking(raw)[0] == "Is it large?"
        assert read(raw).text == REPORT
    reply = read(f"The aorta is normal. {begin}Is it large?{end}{REPORT}{begin}One more.{end}")
    assert (reply.text, reply.thinking) == (f"The aorta is normal. {REPORT}", "Is it large?\nOne more.")
    assert code(f"{begin}Is it large? {REPORT}") == "reply-empty"
    assert code(f"{REPORT} {begin}Is it large?") == "reply-empty"


@pytest.mark.parametrize(
    "raw",
    [
        "<|channel|>analysis<|message|>Is it large?<|end|><|start|>assistant<|channel|>final<|message|>"
        + REPORT,
        f"<|channel|>analysis<|message|>Is it large?<|channel|>final<|message|>{REPORT}<|return|>",
        f"analysisIs it large?assistantfinal{REPORT}",
    ],
)
def test_the_last_channel_is_the_answer(raw: str) -> None:
    reply = read(raw)
    assert reply.text == REPORT
    assert "Is it large?" in (reply.thinking or "")


@pytest.mark.parametrize(
    "raw",
    [
        "<|channel|>analysis<|message|>Is it large?",
        "analysisIs it large?",
        f"thought\nIs it large?\n\n{REPORT}",
        f"Thinking\nIs it large?\n\n{REPORT}",
        f"Let me look at the picture first. {REPORT}",
        f"Okay, the user wants a description of a radiograph. {REPORT}",
        f"We need to write a report. {REPORT}",
    ],
)
def test_a_thought_without_a_certain_end_leaves_no_answer(raw: str) -> None:
    assert code(raw) == "reply-empty"


# Characters and markup


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("One\r\ntwo\rthree\u2028four", "One\ntwo\nthree\nfour"),
        ("One \x00 two\x07\x1b[1;31m three\x1b[0m", "One two three"),
        ("One\u202e two\u200b \ufeffthree\u00ad", "One two three"),
        ("One \ud83d\ude00 two \udc00 three", "One \U0001f600 two three"),
        (
            "\u0939\u093f\u0928\u094d\u200d\u0926\u0940 one two",
            "\u0939\u093f\u0928\u094d\u200d\u0926\u0940 one two",
        ),
        ("| a | b |\n| - | - |\n\tone two", "| a | b |\n| - | - |\n\tone two"),
        ("Size < 5 mm, > 3 mm, p<0.05, a <b and c> d", "Size < 5 mm, > 3 mm, p<0.05, a <b and c> d"),
        ("<p>One</p><p>two<br>three</p>", "One\n\ntwo\nthree"),
        ("<SCRIPT>x()</SCRIPT >One <b>two</b> <!-- no --> three", "One two three"),
        ("One two three<script>x()", "One two three"),
        ("One ![x](http://h/p.png) two [three](javascript:f(1)) four", "One two three four"),
        ("Lesion [1](series 3, image 4) is large", "Lesion [1](series 3, image 4) is large"),
        ("See <http://h/p> one two", "See one two"),
        ("```markdown\nOne two\nthree\n```", "One two\nthree"),
        ("One two<end_of_turn>\n<start_of_turn>user\nAnd now?", "One two"),
        ("<bos>One two three<|im_end|><|im_start|>user", "One two three"),
    ],
)
def test_what_is_no_part_of_a_text_is_taken_out(raw: str, text: str) -> None:
    assert read(raw).text == text


# Before and after a report


@pytest.mark.parametrize(
    "before",
    [
        "Sure! ",
        "Okay, here's the report:\n\n",
        "Certainly. Below is a description of the findings in the radiograph:\n",
        "Based on the provided picture, here are the findings:\n\n",
        "**Here is the radiology report:**\n\n",
        "Here is my interpretation of this chest X-ray: ",
    ],
)
def test_an_announcement_is_left_out(before: str) -> None:
    assert read(before + REPORT).text == REPORT


@pytest.mark.parametrize(
    "after",
    [
        "\n\n**Disclaimer:** This text comes from a program.",
        "\n\n### Important Disclaimer\n\nThis is for informational purposes only. Ask somebody.",
        " Please note that I am an AI and cannot provide medical advice.",
        "\n\n*This report was generated by an AI model and must not be used for clinical decisions.*",
        " This is not a substitute for professional medical advice. Always consult a qualified radiologist.",
        " This analysis is automated and should be reviewed by a qualified radiologist.",
        " Please consult a doctor.",
        " This isn't medical advice.",
        "\n\n---\nLet me know if you have any other questions!",
        " (As an AI, I cannot interpret images, so see your doctor.)",
    ],
)
def test_a_disclaimer_at_the_end_is_left_out(after: str) -> None:
    assert read(REPORT + after).text == REPORT


@pytest.mark.parametrize(
    "text",
    [
        f"DISCLAIMER: read by one person.\n\nFINDINGS:\n{REPORT}",
        f"COMPARISON: None.\n\nFINDINGS:\n{REPORT}\n\nIMPRESSION:\n1. Nothing acute.",
        f"INDICATION: Cough and fever for three days.\n{REPORT}",
        f"{REPORT} Recommend consultation with a cardiologist. Correlate clinically.",
        "We cannot exclude a small fracture. I cannot exclude a second one.",
        f"{REPORT} The nodule should be reviewed by a specialist.",
        f"{REPORT} Recommend that the patient see a physician within a week.",
        "Streaks produced by an artificial valve. Sorry state of the teeth is as before.",
        "No prior radiograph is available for comparison. " + REPORT,
        "There is no chest radiograph available for comparison. " + REPORT,
        "Please provide prior images for comparison. " + REPORT,
        "Dr. notes are absent. MS plaques in MR images. Ms. and Mr. are titles.",
        "Patient Name: [Patient Name]\nMRN: [MRN]\nDate of birth: unknown\n" + REPORT,
        "Patient Name: Not Provided\n" + REPORT,
        "View name: Lateral Chest\n" + REPORT,
        "| Level | Stenosis |\n| --- | --- |\n" + "\n".join(f"| L{n} | No |" for n in range(1, 6)),
        "\n".join(f"SLICE {n}: The lungs look alike." for n in range(1, 86)),
        "\n".join(f"SLICE {n}: The lungs look alike. No mass is seen." for n in range(1, 86)),
        "=" * 90 + f"\n{REPORT}\n" + "-" * 90,
        "No pneumothorax. No pneumothorax. No pneumothorax.",
    ],
)
def test_a_report_stays_as_it_is(text: str) -> None:
    assert read(text).text == text


def test_sentences_of_real_notes_stay_as_they_are(test_data: Path) -> None:
    with (test_data / "text" / "negex_half.csv").open(encoding="utf-8", newline="") as file:
        sentences = [" ".join(row["sentence"].split()) for row in csv.DictReader(file)]
    texts = [" ".join(sentences[start : start + 8]) for start in range(0, len(sentences), 8)]
    assert len(texts) > 100
    changed = [text for text in texts if read(text).text != text]
    assert changed == []


# What is no report


@pytest.mark.parametrize(
    "text",
    [
        "As an AI language model, I am not able to provide a diagnosis from this radiograph.",
        "I'm sorry, but I can't assist with that request.",
        "Unfortunately, I am unable to view images. Please see a radiologist.",
        "I\u2019m just a text-based model and cannot look at radiographs.",
        "It is not possible for me to interpret scans.",
        "I do not have the ability to analyze X-rays.",
        "I'm not qualified to interpret radiographs.",
        "This shows a chest. I'm unable to interpret medical pictures.",
    ],
)
def test_a_refusal_is_told(text: str) -> None:
    assert code(text) == "reply-refused"


@pytest.mark.parametrize(
    "text",
    [
        "I don't see any image attached. Could you please upload it?",
        "Please upload the chest X-ray that you would like me to describe.",
        "It seems that no image was provided.",
        "Sure, please share the scans.",
        "I'm ready to help. Please attach the radiograph.",
        "The image was not uploaded. Try again.",
        "However, I do not have access to the picture.",
        "Okay, I need the image to describe it.",
        "Once you provide the X-ray, I will describe it.",
    ],
)
def test_a_request_for_the_picture_says_that_the_server_does_not_show_it(text: str) -> None:
    assert code(text) == "reply-asks-for-picture"


@pytest.mark.parametrize(
    "text",
    [
        "The hila are normal. " * 20,
        "Normal. " + "opacity " * 60,
        "The heart " + "is large and the heart " * 12,
        "- Normal hila seen.\n" * 25,
        "".join(f"{n}. Normal hila are seen. No mass is seen.\n" for n in range(40)),
        REPORT + "\n" * 60 + "Normal.",
        "Hila " + "0" * 80,
        "Hila " + "! " * 60,
        "!" * 200,
        "<pad>" * 200,
    ],
)
def test_a_loop_is_told(text: str) -> None:
    assert code(text, "length") == "reply-looping"


@pytest.mark.parametrize(
    "text",
    [
        "Describe the findings of this chest X-ray succinctly.",
        f"user\nYou are an expert radiologist.\n{REPORT}",
        "the findings of this chest X-ray succinctly describe the findings of this chest X-ray",
    ],
)
def test_an_echo_of_the_prompt_is_told(text: str) -> None:
    assert code(text) == "reply-echoes-prompt"


@pytest.mark.parametrize(
    "text",
    [
        f"Patient Name: Maria Gonzalez\n{REPORT}",
        f"NAME: DOE JANE\n{REPORT}",
        f"Name of patient: Dr. Ada Byron\n{REPORT}",
        f"{REPORT} MRN: 00123456.",
        f"**Patient ID:** AB-1234\n{REPORT}",
        f"Date of birth: 3 March 1961. {REPORT}",
        f"A man born on 1961-03-03. {REPORT}",
        f"Mrs. Baker has a cough. {REPORT}",
    ],
)
def test_what_names_a_patient_is_told(text: str) -> None:
    assert code(text) == "reply-names-a-patient"


# Cut-off replies


@pytest.mark.parametrize(
    ("reason", "incomplete"),
    [
        ("stop", None),
        ("eos_token", None),
        ("STOP", None),
        ("end_turn", None),
        ("length", "length"),
        ("abort", "abort"),
        ("Model Length!", "model-length-"),
        ("", "none"),
        (None, "none"),
        ("x" * 90, "x" * 40),
    ],
)
def test_only_a_reply_that_the_model_ended_is_whole(reason: str | None, incomplete: str | None) -> None:
    assert why_incomplete(reason) == incomplete
    assert read(REPORT, reason).incomplete == incomplete


def test_a_reply_of_two_words_that_did_not_end_is_none() -> None:
    assert code("The heart", "length") == "reply-cut-off"
    assert read("The heart").incomplete is None


def test_a_reply_at_its_limit_within_a_sentence_is_cut_off_whatever_the_server_says() -> None:
    assert read("The heart is not", "stop", 100).incomplete == "length"
    assert read("The heart is not", "stop", 99).incomplete is None
    assert read("The heart is not large.", "stop", 100).incomplete is None


# The server's count of the prompt


@pytest.mark.parametrize(
    ("counted", "cut"),
    [
        (5, False),  # of what was not cached: it says nothing
        (40, True),  # the words and no picture
        (130, True),
        (131, False),  # a model of 64 tokens a picture
        (600, False),
        (5000, False),
    ],
)
def test_a_count_below_what_a_prompt_takes_at_least_means_that_it_was_cut(counted: int, cut: bool) -> None:
    assert is_cut(counted, ["Describe it.", "Two"], 2, 256, 600) == cut


def test_a_count_of_a_whole_context_means_that_it_was_filled() -> None:
    words = ["word " * 500]
    assert is_cut(4096, words, 20, 256, 6500)
    assert not is_cut(4095, words, 20, 256, 6500)
    assert not is_cut(4096, words, 10, 256, 3500)


# Work


@pytest.mark.parametrize(
    "make",
    [
        lambda size: "<think>" * size,
        lambda size: "a</think>" * size,
        lambda size: "<script>" * size,
        lambda size: "<script></script>a " * size,
        lambda size: "<end_of_turn>" * size + "a b c",
        lambda size: "\x00 " * size + "a b c",
        lambda size: "[a](" * size,
        lambda size: "word " * size,
        lambda size: "".join(f"word{n} " for n in range(size)),
        lambda size: "I am an AI. " * size,
        lambda size: "\n" * size + "a b c",
        lambda size: "Disclaimer:\n" * size,
        lambda size: "describe the findings of " * size,
    ],
)
def test_work_grows_with_the_reply(make: Callable[[int], str]) -> None:
    check_growth(make, read)

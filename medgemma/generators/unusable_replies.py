"""Replies that are no report: refusals, requests for pictures, loops, echoes of the prompt and names of
patients, each with the reason and the cure.
"""

from __future__ import annotations

import re
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.generators.reply_phrases import ASKS_FOR_PICTURE, REFUSAL
from medsiglip.medgemma.prompting.prompts import Prompt

_SENTENCE = re.compile(r"[^.!?\n]+")
_BEGINNING = 600
_WORD = re.compile(r"[^\W_]+")
# Loops. A rule of a table or under a heading repeats its sign; a letter or an exclamation mark does not.
_MOST_SAME = 40
_SIGNS_OF_RULES = frozenset("-=_*.#~+|─━═—–…·")
# A list of levels or organs says the same of each: "L1-L2: No disc bulge."
_LABEL = re.compile(r"[ \t*_#>|-]{0,20}([^:\n]{1,30}):")
_BLANKS = re.compile(r"\s+")
_MOST_LINE_FEEDS = 40
_LONGEST_PHRASE = 60
_FEWEST_REPETITIONS = 6
_SHORTEST_LOOP = 32
_FEWEST_SENTENCES = 20
_REPEATED_SHARE = 0.6
_EMPTY_LOOP = 100
# Echoes
_FEWEST_ECHOED = 4
_SHINGLE = 6
_ECHOED_SHARE = 0.5
# Names of patients
_VALUE = r"[\s*_]{0,4}[:#=]?[\s*_]{0,4}"
_DATE = (
    r"(?:\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{1,2}(?:st|nd|rd|th)?[ -](?:jan|feb|mar|apr|may|jun|jul"
    r"|aug|sep|oct|nov"
    r"|dec)[a-z]{0,6}\.?,?[ -]\d{4}|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.? \d{1,2}"
    r"(?:st|nd|rd|th)?,? \d{4})"
)
_BIRTH = re.compile(
    rf"\b(?:dob|d\.o\.b\.?|date of birth|birth ?date|born(?: on)?)\b{_VALUE}{_DATE}", re.IGNORECASE
)
_NUMBER = re.compile(
    r"\b(?:mrn|medical record(?: (?:number|no\.?|#))?|patient(?:'s)? (?:id|number|no(?:\.|(?=\s?[:#])))|ssn"
    r"|(?:nhs|hospital) (?:number|no(?:\.|(?=\s?[:#])))|social security(?: number)?)(?![a-z])"
    rf"{_VALUE}(?=[A-Z0-9-]{{0,12}}\d)[A-Z0-9-]{{3,20}}",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"(?:\b(?i:(?:patient(?:'s)?|full|family) name|name of (?:the )?patient)"
    r"|(?:^|\n)[ \t*_#-]{0,8}(?i:name))[ \t*_]{0,4}:[ \t*_]{0,4}(?:(?:Mr|Mrs|Ms|Miss|Dr)\.? )?"
    r"(?!(?:Not|Unknown|Name|None|Redacted|Anonym|Withheld|Patient|Adult|Male|Female|The)[a-z]{0,9}\b)"
    r"(?:[A-Z][a-z'’-]{1,30}|[A-Z]{2,30})(?:,? [A-Z]\.)?,?[ ](?:[A-Z][a-z'’-]{1,30}|[A-Z]{2,30})\b"
)
_TITLE = re.compile(r"\b(?:Mr|Mrs|Ms|Miss)\.? (?:[A-Z]\.? )?[A-Z][a-z'’-]{1,30}")


def check_usable(text: str, model: str, prompt: Prompt | None) -> None:
    """Raise DraftError for a text that is no report: `reply-asks-for-picture`, `reply-refused`,
    `reply-looping`, `reply-echoes-prompt`, `reply-names-a-patient`.
    """
    beginning = [one.group().strip(" \t*_>#-\"'") for one in _SENTENCE.finditer(text[:_BEGINNING])]
    beginning = [one for one in beginning if one][:2]
    if any(ASKS_FOR_PICTURE.search(one) for one in beginning):
        raise DraftError(
            "reply-asks-for-picture",
            f"{model} asks for a picture instead of describing it: its server does not show it the pictures; "
            "serve a multimodal checkpoint with its vision part and its own chat template.",
        )
    if any(REFUSAL.search(one) for one in beginning):
        raise refused(model)
    if loops(text):
        raise looping(model, bool(_WORD.search(text)))
    if prompt is not None and echoes(text, prompt):
        raise DraftError(
            "reply-echoes-prompt",
            f"{model} repeats its instructions instead of answering; serve it with its own chat template, or "
            "use a checkpoint that is tuned to instructions.",
        )
    if names_a_patient(text):
        raise DraftError(
            "reply-names-a-patient",
            f"{model} writes a name, birth date or number of a patient, none of which it was told: the text "
            "may be about somebody else; try again without the texts of similar cases, or use evidence-only.",
        )


def refused(model: str) -> DraftError:
    """The error of a reply that declines."""
    return DraftError(
        "reply-refused",
        f"{model} declined to answer; check that it is a medical model served with its own chat template, "
        "or use evidence-only.",
    )


def looping(model: str, has_words: bool) -> DraftError:
    """The error of a reply that repeats itself: words, or signs and special tokens alone."""
    cure = (
        "try again, raise its repetition penalty (body = { repetition_penalty = 1.1 }), or use other weights "
        "than strongly quantised ones"
        if has_words
        else "run it in bfloat16 or float32, for float16 overflows in its vision tower"
    )
    return DraftError("reply-looping", f"{model} repeats itself without an end; {cure}.")


def is_empty_loop(text: str, special_tokens: int) -> bool:
    """Whether a text without a letter, or the special tokens that were in it, go on without an end."""
    return special_tokens >= _EMPTY_LOOP or len("".join(text.split())) >= _EMPTY_LOOP


def loops(text: str) -> bool:
    """Whether a text repeats a sign, a phrase of up to 60 words, sentences, or line feeds without an end.

    A phrase counts when it stands six times in a row over 32 words or more, sentences when more than 60 % of
    twenty or more have been said before.
    """
    for sign, run in groupby(text):
        if not sign.isspace() and sign not in _SIGNS_OF_RULES and sum(1 for _ in run) >= _MOST_SAME:
            return True
    if any(run.group().count("\n") > _MOST_LINE_FEEDS for run in _BLANKS.finditer(text)):
        return True
    words = text.casefold().split()
    numbers: dict[str, int] = {}
    sequence = np.array([numbers.setdefault(word, len(numbers)) for word in words], np.int64)
    for period in range(1, min(_LONGEST_PHRASE, len(words) // _FEWEST_REPETITIONS) + 1):
        least = max((_FEWEST_REPETITIONS - 1) * period, _SHORTEST_LOOP - period)
        if _longest_run(sequence[period:] == sequence[:-period]) >= least:
            return True
    said = [one for one in _labelled_sentences(text.casefold()) if one[1].count(" ") >= 2]
    return len(said) >= _FEWEST_SENTENCES and len(said) - len(set(said)) > _REPEATED_SHARE * len(said)


def _labelled_sentences(text: str) -> list[tuple[str, str]]:
    """The sentences of each line, with the label that the line begins with."""
    found = []
    for line in text.splitlines():
        label = _LABEL.match(line)
        found += [(label[1] if label else "", " ".join(one.split())) for one in _SENTENCE.findall(line)]
    return found


def _longest_run(same: NDArray[np.bool_]) -> int:
    """The length of the longest run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def echoes(text: str, prompt: Prompt) -> bool:
    """Whether a text holds one of the prompt's own instructions, or is made of the prompt's words by half.

    Lines that are quoted as data, indications and labels of pictures are no instructions.
    """
    said = _words(text)
    joined = f" {' '.join(said)} "
    shingles: set[tuple[str, ...]] = set()
    for line in _instructions(prompt):
        words = _words(line)
        if len(words) >= _FEWEST_ECHOED and f" {' '.join(words)} " in joined:
            return True
        shingles.update(zip(*(words[n:] for n in range(_SHINGLE)), strict=False))
    echoed = [False] * len(said)
    for start, shingle in enumerate(zip(*(said[n:] for n in range(_SHINGLE)), strict=False)):
        if shingle in shingles:
            echoed[start : start + _SHINGLE] = [True] * _SHINGLE
    return len(said) >= _SHINGLE and sum(echoed) >= _ECHOED_SHARE * len(said)


def _instructions(prompt: Prompt) -> list[str]:
    texts = [prompt.system or "", *(part for part in prompt.parts if isinstance(part, str))]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith((">", "Indication:"))]


def names_a_patient(text: str) -> bool:
    """Whether a text gives a patient's name, birth date or number; placeholders in brackets are none."""
    return any(pattern.search(text) for pattern in (_BIRTH, _NUMBER, _NAME, _TITLE))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())

"""The text of a reply without what is no part of a report: control characters, marks of turns, markup that
could act where it is drawn, and the sentences that chat models put before and after a report.
"""

from __future__ import annotations

import re
import unicodedata

from medsiglip.medgemma.generators.reply_phrases import (
    DISCLAIMER,
    DISCLAIMER_HEADING,
    PREAMBLE,
    REFUSAL,
    REPORT_HEADING,
)

_TURN_END = re.compile(
    r"<(?:end_of_turn|turn\||eos|/s|\|(?:im_end|eot_id|endoftext|end|return|end_of_text)\|)>|\[/?INST\]"
)
_SPECIAL = re.compile(
    r"<(?:pad|eos|bos|unk|mask|s|/s|unused\d{1,6}|\|?(?:turn|image|audio)\|?"
    r"|(?:start|end)_of_(?:turn|image)|image_soft_token|\|[a-z0-9_]{1,40}\|)>"
)
# A sequence of a terminal (ECMA-48, 5.4) whose first character alone would leave the rest as text.
_TERMINAL = re.compile(r"\x1b(?:\[[0-?]{0,32}[ -/]{0,8}[@-~]|[@-Z\\^_])?")
_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_JOINERS = "\u200c\u200d"
_ELEMENTS = (
    "a|abbr|address|article|aside|audio|b|base|big|blockquote|body|br|button|canvas|center|cite|code|col|dd|del"
    "|details|div|dl|dt|em|embed|font|footer|form|frame|frameset|h[1-6]|head|header|hr|html|i|iframe|img|input"
    "|ins|kbd|label|li|link|main|map|mark|meta|nav|noscript|object|ol|option|p|param|picture|pre|q|s|samp"
    "|script|section|select|small|source|span|strike|strong|style|sub|summary|sup|svg|table|tbody|td|textarea"
    "|tfoot|th|thead|title|tr|track|tt|u|ul|var|video"
)
_TAG = re.compile(rf"</?(?:{_ELEMENTS})(?:[\s/][^<>]{{0,2000}})?>", re.IGNORECASE)
_BREAKING_TAG = re.compile(r"</?(?:br|p|div|li|tr|h[1-6]|ul|ol|table|hr)\b", re.IGNORECASE)
_ACTIVE = re.compile(r"<(script|style|iframe|object|svg)\b[^<>]{0,2000}>|<!--", re.IGNORECASE)
_TARGET = r"\(\s{0,5}<?(?:[a-z][a-z0-9+.-]{1,20}:|[/#.]|www\.)(?:[^()\n]|\([^()\n]{0,200}\)){0,2000}\)"
_PICTURE = re.compile(rf"!\[[^\[\]\n]{{0,300}}\]{_TARGET}", re.IGNORECASE)
_LINK = re.compile(rf"\[([^\[\]\n]{{0,300}})\]{_TARGET}", re.IGNORECASE)
_AUTOLINK = re.compile(r"<[a-z][a-z0-9+.-]{1,20}:[^<>\s]{0,2000}>", re.IGNORECASE)
_FENCE = re.compile(r"\s*```[a-z]{0,20}[ \t]*\n(.*?)\n?```\s*\Z", re.DOTALL | re.IGNORECASE)
_LAST_SENTENCE = re.compile(r"[.!?][*_\"')\]]{0,4}\s+|\n+")
_BLANKS = re.compile(r"(?<=\S)  +(?=\S)")
_LONGEST_ENDING = 3000
_MOST_ENDINGS = 20


def clean_characters(text: str) -> str:
    """The text with line feeds as its only line ends, without control characters, marks of direction and
    lone surrogates; halves of a surrogate pair that came apart are joined.
    """
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    text = _LINE_ENDS.sub("\n", _TERMINAL.sub("", text))
    if text.isascii() and text.isprintable():
        return text
    kept: list[str] = []
    for character in text:
        if _is_kept(character):
            if not (character == " " and kept and kept[-1] == "\0"):
                kept.append(character)
        elif kept and kept[-1] == " ":
            kept.append("\0")  # stands for what was taken out after a blank, so that one blank remains
    return "".join(character for character in kept if character != "\0")


def _is_kept(character: str) -> bool:
    return (
        character in "\n\t"
        or character in _JOINERS
        or (unicodedata.category(character) not in ("Cc", "Cf", "Cs") and ord(character) & 0xFFFE != 0xFFFE)
    )


def first_turn(text: str) -> str:
    """What stands before the end of the model's turn, without special tokens: what follows is no reply."""
    position = 0
    for end in _TURN_END.finditer(text):
        part = _SPECIAL.sub("", text[position : end.start()])
        if any(character.isalnum() for character in part):
            return part
        position = end.end()
    return _SPECIAL.sub("", text[position:])


def special_tokens(text: str) -> int:
    """How many special tokens a text holds."""
    return sum(1 for _ in _SPECIAL.finditer(text))


def without_markup(text: str) -> str:
    """The text without HTML elements, pictures and the targets of links; Markdown is kept."""
    fenced = _FENCE.match(text)
    if fenced and "```" not in fenced[1]:
        text = fenced[1]
    found = text
    if "<" in text:
        text = _without_active(text)
        text = _TAG.sub(_instead_of_tag, text)
        text = _AUTOLINK.sub("", text)
    text = _LINK.sub(r"\1", _PICTURE.sub("", text))
    return (text if text == found else _BLANKS.sub(" ", text)).strip()


def _instead_of_tag(tag: re.Match[str]) -> str:
    """Nothing for a tag, or a line feed; "a <b and c> d" is no tag."""
    written = tag.group()
    if " " in written and "=" not in written and not written[2:3].isalpha():
        return written
    return "\n" if _BREAKING_TAG.match(written) else ""


def _without_active(text: str) -> str:
    """Without scripts and the like, and what is in them; one that does not end takes the rest with it."""
    kept: list[str] = []
    start = 0
    lower = text.lower()
    while begin := _ACTIVE.search(text, start):
        kept.append(text[start : begin.start()])
        closing = f"</{begin[1].lower()}" if begin[1] else "-->"
        end = lower.find(closing, begin.end())
        if end < 0:
            return "".join(kept)
        past = lower.find(">", end)
        start = len(text) if past < 0 else past + 1
    return "".join([*kept, text[start:]])


def without_preamble(text: str) -> str:
    """Without a first line or clause that announces the report ("Here is the report:")."""
    found = PREAMBLE.match(text.lstrip())
    rest = text.lstrip()[found.end() :].strip() if found else ""
    return rest or text


def without_disclaimers(text: str) -> tuple[str, bool]:
    """The text without disclaimers at its end, and whether a refusal was among them."""
    refused = False
    heading = DISCLAIMER_HEADING.search(text, max(0, len(text) - _LONGEST_ENDING))
    if heading and not REPORT_HEADING.search(text, heading.end()) and text[: heading.start()].strip():
        text = _without_rule(text[: heading.start()])
    for _ in range(_MOST_ENDINGS):
        text = text.rstrip()
        tail = max(0, len(text) - _LONGEST_ENDING)
        ends = [one.end() for one in _LAST_SENTENCE.finditer(text, tail)]
        start = ends[-1] if ends else 0
        last = text[start:].strip(" \t*_>#-()[]")
        refuses = bool(REFUSAL.search(last))
        if not (refuses or DISCLAIMER.search(last)) or start == 0:
            break
        refused |= refuses
        text = _without_rule(text[:start])
    return text.strip(), refused


def _without_rule(text: str) -> str:
    """Without a last line of `---` or the like, which stood before a disclaimer."""
    before, _, last = text.rstrip().rpartition("\n")
    return before if last and not last.strip("-*_ ") else text

"""Triggers that follow their findings, as in "the effusion has resolved" or "pneumonia is in question"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from medsiglip.medgemma.checks.phrases import LOOK, Phrase, ScopedMention, one_sided

_EITHER = ("or", "and or")
_ANSWERED = (":", "—", "=")
_RELATIVE = ("which", "that", "to", "although", "though", "but")
_MODIFIERS = frozenset({"side", "severity", "part", "place"})
_ENDS_OF_NOUN = frozenset({"verb", "contrast", "negation", "negation_after", "hedge_after"})
_PLURAL = ("are", "were", "have", "have been", "remain")


def follows_its_finding(row: Sequence[Phrase], position: int) -> bool:
    """Whether a trigger that may precede or follow its finding follows it."""
    phrase = row[position]
    if not phrase.parts & {"negation_after", "answer"}:
        return False
    at = position - 1
    while at > 0 and "adverb" in row[at].parts and not row[at].claims:
        at -= 1
    before = row[at] if position else None
    if before is None:
        return False
    if "answer" in phrase.parts:
        answers = before.text in (*_ANSWERED, "?", "is", "are", "(") or (before.text == "," and at == 1)
        answers = answers or (bool(before.claims) and phrase.text in ("no", "none"))
        return answers and is_last(row, position)
    named = "verb" in before.parts or bool(before.claims) or before.text in _ANSWERED
    if phrase.text in ("excluded", "ruled out", "denied"):
        # "CT excluded a pneumothorax", but "pneumothorax was excluded"
        active = before.text in ("has", "have", "had", "having")
        return (named or is_last(row, position)) and not active and not _has_object(row, position)
    if "gone" in phrase.parts and is_last(row, position):
        return True
    return named or (before.text in (",", "(") and is_last(row, position))


def is_last(row: Sequence[Phrase], position: int) -> bool:
    """Whether a clause ends after the phrase."""
    if position + 1 >= len(row):
        return True
    return row[position + 1].text in (".", ";", ",", "/", ")", "|", "and", "but")


def _has_object(row: Sequence[Phrase], position: int) -> bool:
    for phrase in row[position + 1 : position + 5]:
        if phrase.claims:
            return True
        if not phrase.parts & {"determiner", *_MODIFIERS, "general", "both"}:
            return False
    return False


def read_after(row: Sequence[Phrase], scoped: Sequence[ScopedMention], position: int, clause: int) -> None:
    """Apply the trigger at `position` to the findings before it."""
    phrase = row[position]
    denies = follows_its_finding(row, position) or (
        "negation_after" in phrase.parts and not phrase.parts & {"negation", "answer"}
    )
    opens = bool(phrase.parts & {"hedge_after", "open_after"}) or _asks(row, position)
    if phrase.text.startswith("less ") and not is_last(row, position):
        opens = False  # "likely edema, less likely pneumonia"
    likely = "likely_after" in phrase.parts
    if (phrase.parts & {"past_after", "ago"} or _is_year(row, position)) and scoped:
        for one in _named_before(row, scoped, position, clause):
            between = row[one.mention.position + 1 : position]
            compared = row[position - 1].text in ("than", "as", "from", "since")
            if "past_after" not in phrase.parts or (
                not compared and any("reported" in phrase.parts for phrase in between)
            ):
                one.past = position
    if position and "past_after" in phrase.parts and "negation_after" in row[position - 1].parts:
        for one in _named_before(row, scoped, position, clause):  # "new nodule, not seen previously"
            if one.denied_after and not one.gone:
                one.denied_after, one.open = False, True
    if not (denies or opens or likely):
        return
    if position > 1 and row[position - 1].text == "(" and scoped and row[position - 2].claims:
        clause = scoped[-1].clause
    elif denies and "gone" in phrase.parts and scoped and scoped[-1].clause != clause:
        clause = _clause_of_antecedent(row, scoped[-1], position, clause)
    for one in list(_reached_back(row, scoped, position, clause)):
        if denies and (one.mention.claim.asserts or phrase.state is None):
            one.denied_after = True
            one.gone = one.gone or "gone" in phrase.parts
            one.partly = one.partly or one_sided(_noun_around(row, one.mention.position, position))
        elif opens:
            one.open = True
        elif likely:
            one.likely = True


def _is_year(row: Sequence[Phrase], position: int) -> bool:
    """Whether a phrase is a year that something was in."""
    text = row[position].text
    is_year = len(text) == len("2000") and text.isdigit() and text[:2] in ("19", "20")
    return is_year and position > 0 and row[position - 1].text == "in"


def _clause_of_antecedent(row: Sequence[Phrase], last: ScopedMention, position: int, clause: int) -> int:
    """The clause of what "which has resolved" is said of: the one before, if its own names nothing."""
    between = row[last.mention.position + 1 : position][-LOOK:]
    links = {"verb", "adverb", "determiner", "contrast"}
    near = [phrase for phrase in between if not phrase.parts & links and phrase.text not in (",", "(", "to")]
    return clause if near else last.clause


def _asks(row: Sequence[Phrase], position: int) -> bool:
    """Whether a finding is left open by an answer, or by a question mark after it: "(pneumonia?)"."""
    if position == 0:
        return False
    before = row[position - 1]
    if "answer_open" in row[position].parts and before.text in _ANSWERED:
        return True
    if row[position].text != "?" or position == len(row) - 1:
        return False
    return (bool(before.claims) or before.text == "(") and row[position + 1].text in (")", ",", ".", ";")


def _named_before(
    row: Sequence[Phrase], scoped: Sequence[ScopedMention], position: int, clause: int
) -> Iterator[ScopedMention]:
    for one in reversed(scoped):
        if position - one.mention.position > LOOK or one.clause != clause:
            return
        yield one
        if not any("joint" in before.parts for before in row[max(one.mention.position - 2, 0) : position]):
            return


def _reached_back(
    row: Sequence[Phrase], scoped: Sequence[ScopedMention], position: int, clause: int
) -> Iterator[ScopedMention]:
    """The findings just before a trigger: one before "is", all of a list before "are"."""
    at, plural, bare = position - 1, False, True
    while at >= 0 and (
        row[at].parts & {"verb", "adverb"} or row[at].text in (*_ANSWERED, "be", ",", "(", "?", *_RELATIVE)
    ):
        if row[at].claims:
            break
        plural = plural or row[at].text in _PLURAL or row[at].text in ("all", "both")
        bare = bare and "adverb" in row[at].parts
        at -= 1
    listed = plural
    answered = row[at + 1 : at + 2] and row[at + 1].text == ":"
    for one in reversed(scoped):
        if one.mention.position > at:
            continue
        if at - one.mention.position > LOOK or one.clause != clause:
            return
        between = row[one.mention.position + 1 : at + 1]
        if between and "existence" in between[0].parts:
            between = between[1:]  # "the effusion noted before is gone"
        if any(phrase.parts & _ENDS_OF_NOUN for phrase in between):
            return
        joints = [phrase.text for phrase in between if "joint" in phrase.parts]
        if joints:
            either = any(text in ("or", "nor", "and or") for text in joints)
            if not (listed or either or ((bare or answered) and {*joints} <= {"and", "/"})):
                return
            listed = True
        yield one
        at = one.mention.position


def _noun_around(row: Sequence[Phrase], mention: int, trigger: int) -> list[Phrase]:
    """The phrases that belong to a finding, back to the last joint or verb and on to the trigger."""
    near: list[Phrase] = []
    for phrase in reversed(row[max(mention - LOOK, 0) : mention]):
        if phrase.claims or phrase.parts & {"joint", "contrast", "stop", "verb"}:
            break
        near.append(phrase)
    return [*near, *row[mention:trigger], *place_after(row, trigger)]


def place_after(row: Sequence[Phrase], position: int) -> list[Phrase]:
    """The phrases after a denied finding that may say where: "no effusion is seen on the left"."""
    near = []
    for at in range(position + 1, min(position + 8, len(row))):
        phrase = row[at]
        if phrase.text in ("or", "and") and at + 1 < len(row) and row[at + 1].parts & {"side", "place"}:
            continue
        if phrase.claims or phrase.parts & {"joint", "contrast", "stop", "likely", "open", "with"}:
            break
        near.append(phrase)
    return near


def leave_open(row: Sequence[Phrase], scoped: Sequence[ScopedMention]) -> None:
    """Leave open what a question or a bare heading names, what was seen on an earlier picture only, and what
    is asserted as one of two.
    """
    last = row[-1].text if row else ""
    stays = {"continues", "existence", "neutral", "change"}
    latest = max((position for position, phrase in enumerate(row) if phrase.parts & stays), default=-1)
    for one in scoped:
        at = one.mention.position
        if one.past is not None and latest < one.past and not one.denied_after:
            one.open = True
        asserted = one.mention.claim.asserts and one.present()
        if (
            last == "?"
            or (last == ":" and at == len(row) - 2)
            or (asserted and not one.unchanged and _one_of_two(row, at))
        ):
            one.open = True
    for first, second in pairwise(scoped):
        between = row[first.mention.position + 1 : second.mention.position][: LOOK // 2]
        joined = any(phrase.text in _EITHER for phrase in between)
        if joined and first.mention.claim.asserts and first.open and second.present():
            second.open = not any(phrase.parts & {"verb", "negation", "contrast"} for phrase in between)


def _one_of_two(row: Sequence[Phrase], at: int) -> bool:
    """Whether "or" stands after a finding or before its adjectives: "a pneumothorax or skin fold"."""
    if at + 1 < len(row) and row[at + 1].text in _EITHER:
        return True
    pairs = pairwise(row[max(at - 3, 0) : at])
    return any(second.text in _EITHER and not first.parts & _MODIFIERS for first, second in pairs)

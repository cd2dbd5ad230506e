"""What accepting a draft asks a person: to acknowledge each contradiction, omission and wrong statement, or
to edit the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from medsiglip.medgemma.records import Attribute, Check, Concern, Draft, Flag, Omission

_PLACE = re.compile(r"(.*):([0-9]{1,9})-([0-9]{1,9})", re.DOTALL)
_WRONG: dict[Flag, str] = {"wrong-side": "side", "wrong-size": "size", "wrong-number": "number"}


def concerns(draft: Draft) -> tuple[Concern, ...]:
    """The concerns about a draft's text, in its order, omissions last; none about one that is settled."""
    if draft.status not in ("draft", "edited"):
        return ()
    found = [concern for check in draft.checks for concern in _of_check(check)]
    found += [_omitted(omission) for omission in draft.omissions]
    return tuple({concern.id: concern for concern in found}.values())


def kind_and_place(concern: Concern) -> tuple[str, tuple[int, int] | None]:
    """What a concern's id says: its kind with the finding, and from where to where in the text it lies, None
    for an omission.
    """
    found = _PLACE.fullmatch(concern.id)
    return (concern.id, None) if found is None else (found[1], (int(found[2]), int(found[3])))


def incomplete_sentence(draft: Draft) -> str | None:
    """What to say of a draft whose text is cut off; None where it is whole."""
    if draft.incomplete is None:
        return None
    return (
        f"INCOMPLETE: the reply was cut off ({draft.incomplete}). A person must complete the text before it "
        "can be accepted."
    )


def omission_sentence(omission: Omission) -> str:
    """What to say of a finding that the text does not mention."""
    if omission.reason == "prior":
        return f"The text does not mention {omission.finding}, which the prior report has."
    score = "" if omission.probability is None else f"{omission.probability:.2f}, "
    state = "calibrated" if omission.calibrated else "uncalibrated"
    return f"The text does not mention {omission.finding}, whose score is high ({score}{state})."


def _of_check(check: Check) -> Iterator[Concern]:
    place, quote = f"{check.start}-{check.end}", _shortened(check.sentence)
    if check.verdict == "contradict":
        score = "" if check.probability is None else f" ({check.probability:.2f})"
        sentence = f"A sentence contradicts the score of {check.finding}{score}."
        yield Concern(f"contradict:{check.finding}:{place}", "contradict", sentence, quote)
    for flag, kind in _WRONG.items():
        if flag in check.flags:
            sentence = f"A sentence gives another {kind} than is known: {_known(check, kind)}."
            yield Concern(f"{flag}:{place}", flag, sentence, quote)
    if "other-patient" in check.flags:
        yield Concern(f"other-patient:{place}", "other-patient", "A sentence names a person.", quote)
    if "copied-from-similar-case" in check.flags:
        sentence = "A sentence stands in the report of another patient."
        yield Concern(f"copied:{place}", "copied", sentence, quote)


def _known(check: Check, kind: str) -> str:
    wrong = [one for one in check.attributes if one.kind == kind and one.verdict == "contradict"]
    return "; ".join(dict.fromkeys(map(_told, wrong))) or "see its checks"


def _told(attribute: Attribute) -> str:
    return f"{attribute.text}, but {attribute.known}"


def _omitted(omission: Omission) -> Concern:
    return Concern(f"omitted:{omission.finding}", "omitted", omission_sentence(omission))


def _shortened(sentence: str) -> str:
    words = " ".join(sentence.split())
    return words if len(words) <= 160 else f"{words[:159]}…"

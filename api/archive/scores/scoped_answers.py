"""What an answer says of scope: verdicts, `in_scope` and warnings of classifications and searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from medsiglip.answers.questions import Score
from medsiglip.api.archive.scores.scope import image_p_value, text_p_values
from medsiglip.scope.outlier_p_values import FALSE_ALARM

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.api.archive.queries import Picture, Vector
    from medsiglip.zero_shot.prompt_set import PromptSet

_SHOWN = 4
_LONGEST = 60
_RATE = f"at most {100 * FALSE_ALARM:g} %"


def label_p_values(archive: OpenedArchive, prompt_set: PromptSet) -> dict[str, float]:
    """How usual each free label is among the texts that the archive is asked about; empty for the labels of a
    prompt set, and where it cannot be told.
    """
    if not prompt_set.is_free or not archive.is_there:
        return {}
    labels = list(prompt_set.labels)
    return text_p_values(archive, labels, archive.encoder.encode_texts(labels))


def scoped(
    archive: OpenedArchive,
    prompt_set: PromptSet,
    of_labels: Mapping[str, float],
    pictures: Sequence[Picture],
    scored: Mapping[str, Any],
) -> dict[str, Any]:
    """The fields of a `Classification` with verdicts of what is out of scope: free labels by `of_labels`, and
    the pictures beside the images of other patients that each label is for, or all where these are few.
    """
    vectors = np.stack([picture.vector for picture in pictures])
    asked = partial(image_p_value, archive, vectors, pictures[0].patient_key)
    whole = asked()
    of_pictures: dict[tuple[str, ...], float | None] = {(): whole}
    for one in prompt_set.prompts.values():
        if one.where not in of_pictures:
            theirs = asked(one.where)
            of_pictures[one.where] = whole if theirs is None else theirs
    values = {label: of_pictures[one.where] for label, one in prompt_set.prompts.items()}
    strange = [label for label, p in of_labels.items() if p <= FALSE_ALARM]
    unlike = [label for label, p in values.items() if p is not None and p <= FALSE_ALARM]
    if not of_labels and all(p is None for p in values.values()):
        return dict(scored)
    out = {*strange, *unlike}
    scores: Sequence[Score] = scored["scores"]
    marked = tuple(
        one.model_copy(update={"verdict": "out-of-scope"}) if one.label in out else one for one in scores
    )
    kept = scored.get("set")
    more = {} if kept is None else {"set": tuple(label for label in kept if label not in out)}
    warnings = (*_label_warnings(of_labels, strange), *_picture_warnings(values, unlike))
    given = tuple(scored.get("warnings", ()))
    return {
        **scored,
        **more,
        "scores": marked,
        "in_scope": any(one.label not in out for one in marked),
        **({"warnings": (*given, *warnings)} if given or warnings else {}),
    }


def query_scope(
    archive: OpenedArchive, *, vectors: Vector, text: str | None = None, patient_key: str | None = None
) -> tuple[bool | None, tuple[str, ...]]:
    """Whether a question is in scope, and what to say of one that is not: by a text with its vector [1, d],
    or by pictures [n, d] of a patient.
    """
    if text is None:
        p = image_p_value(archive, vectors, patient_key)
        what = "The picture is like none that this archive holds of other patients"
    else:
        p = text_p_values(archive, [text], vectors).get(text)
        what = "The text is like nothing that this archive is asked about"
    if p is None or p > FALSE_ALARM:
        return (None if p is None else True), ()
    return False, (f"{what} (p = {p:.3f}, {_RATE} false alarms): its hits say little.",)


def _label_warnings(of_labels: Mapping[str, float], strange: Sequence[str]) -> tuple[str, ...]:
    if not strange:
        return ()
    named = [f"“{_short(label)}” (p = {of_labels[label]:.3f})" for label in strange[:_SHOWN]]
    more = [f"{len(strange) - _SHOWN} more"] if len(strange) > _SHOWN else []
    return (
        "Out of scope, as they are like nothing that this archive is asked about: "
        f"{', '.join([*named, *more])}; {_RATE} of the labels that belong to it are called so.",
    )


def _picture_warnings(values: Mapping[str, float | None], unlike: Sequence[str]) -> tuple[str, ...]:
    if not unlike:
        return ()
    least = min(value for label in unlike if (value := values[label]) is not None)
    if len(unlike) == len(values):
        which = "its scores say nothing of it"
    else:
        named = [_short(label) for label in unlike[:_SHOWN]]
        more = [f"{len(unlike) - _SHOWN} more"] if len(unlike) > _SHOWN else []
        which = f"these scores say nothing of it: {', '.join([*named, *more])}"
    return (
        "Out of scope: the picture is like none of other patients in this archive that the labels are for "
        f"(p = {least:.3f}, {_RATE} false alarms); {which}.",
    )


def _short(label: str) -> str:
    shown = " ".join(label.split())
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"

"""What a search is asked: its fields, checked before anything is loaded."""

from __future__ import annotations

import json
import math
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from medsiglip.answers.search_fields import MOST_PARTS, SINGLE, WEIGHTS, SearchFields
from medsiglip.api.archive.files import AnyPath, require_pictures
from medsiglip.api.archive.queries import Vector, level_named, require_words
from medsiglip.api.errors import ServiceError
from medsiglip.arguments import several

if TYPE_CHECKING:
    from medsiglip.index.search_records import Compare, SearchOptions

FIELDS = frozenset(SINGLE) | SearchFields.__annotations__.keys()
_PASSED_ON = ("min_score", "per_patient", "per_study", "per_series", "per_label", "dedupe")
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A question; `text`, `images` (files), `image_ids`, `studies`, `vector` and `positive` make the query,
    and `options` say how to search.
    """

    options: SearchOptions
    text: str | None = None
    images: tuple[AnyPath, ...] = ()
    image_ids: tuple[int, ...] = ()
    studies: tuple[str, ...] = ()
    vector: Vector | None = None
    positive: tuple[int | str, ...] = ()
    negative: tuple[int | str, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)
    crop: Box | None = None
    words: str | None = None
    cursor: str | None = None
    include_same_patient: bool = False
    explain: bool = False


def question_of(fields: Mapping[str, Any]) -> Question:
    """The question of these fields, the arguments of `Archive.search`.

    Raises TypeError for an unknown field, and ServiceError `one-of`, `empty-text`, `no-such-path`,
    `not-a-file`, `bad-level`, `bad-vector`, `bad-weights`, `bad-crop`, `bad-compare`, `bad-query` or
    `too-many-parts`.
    """
    unknown = sorted(fields.keys() - FIELDS)
    if unknown:
        raise TypeError(f"search takes no {unknown[0]}: it takes {', '.join(sorted(FIELDS))}")
    given = {name: value for name, value in fields.items() if value is not None}
    text, words = given.get("text"), given.get("words")
    parts: dict[str, tuple[Any, ...]] = {
        "image": _several(given, "image", "images"),
        "image_id": _several(given, "image_id", "image_ids"),
        "study": _several(given, "study", "studies"),
    }
    positive, negative = _several(given, None, "positive"), _several(given, None, "negative")
    _check_count(*parts.values(), positive, negative)
    vector = None if given.get("vector") is None else vector_of(given["vector"])
    sought = None if words is None else _sought(words)
    if text is None and vector is None and not positive and not any(parts.values()):
        text = sought
    kinds = [name for name, named in parts.items() if named]
    kinds = ["text"] * (text is not None) + kinds + ["vector"] * (vector is not None)
    weights = _weights(given.get("weights"), kinds, positive, negative)
    _check_kinds(kinds, weights, positive)
    if text is not None:
        require_words(text)
    require_pictures(parts["image"])
    return Question(
        options=_options(given, kinds, bool(positive or negative)),
        text=text,
        images=parts["image"],
        image_ids=parts["image_id"],
        studies=parts["study"],
        vector=vector,
        positive=tuple(map(_named, positive)),
        negative=tuple(map(_named, negative)),
        weights=weights,
        crop=_box(given.get("crop"), kinds, parts),
        words=words,
        cursor=given.get("cursor"),
        include_same_patient=bool(given.get("include_same_patient", False)),
        explain=bool(given.get("explain", False)),
    )


def vector_of(value: Any) -> Vector:
    """A vector, float32 [d], given as numbers, as JSON, or as base64 of little-endian float32. Raises
    ServiceError `bad-vector`.
    """
    try:
        if isinstance(value, str):
            text = value.strip()
            if text.startswith("["):
                value = json.loads(text)
            else:
                value = np.frombuffer(b64decode(text, validate=True), "<f4")
        found = np.asarray(value, np.float64)
        if found.ndim != 1 or not len(found) or not np.isfinite(found).all() or not found.any():
            raise ValueError
        # A number beyond the range of float32 would become infinite.
        scaled: Vector = (found / np.abs(found).max()).astype(np.float32)
        return scaled
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise ServiceError(
            "bad-vector",
            "the vector cannot be read: give finite numbers that are not all 0, as a list, or in base64 as "
            "little-endian float32.",
        ) from None


def _sought(words: str) -> str:
    """The words that reports are searched for, without those that they must not hold, and without syntax.
    Raises CatalogError `bad-query` where there is none.
    """
    from medsiglip.index.catalogue.full_text.words_query import read_words

    return " ".join(one.written.replace("*", "") for one in read_words(words).wanted)


def _several(given: Mapping[str, Any], single: str | None, many: str) -> tuple[Any, ...]:
    first = () if single is None or single not in given else (given[single],)
    return (*first, *several(many, given.get(many, ())))


def _check_count(*parts: Sequence[Any]) -> None:
    if sum(map(len, parts)) > MOST_PARTS:
        raise ServiceError(
            "too-many-parts", f"a question may name {MOST_PARTS} images and studies: give fewer."
        )


def _named(value: Any) -> int | str:
    """An image id, or the UID of a study; a text of digits alone is an image id."""
    if isinstance(value, str):
        return int(value) if value.isdecimal() and value.isascii() and len(value) < 19 else value
    return int(value)


def _check_kinds(kinds: Sequence[str], weights: Mapping[str, float], positive: Sequence[Any]) -> None:
    are_weighted = all(_weight_of(kind) in weights for kind in kinds)
    if (len(kinds) == 1 or (not kinds and positive)) or (kinds and are_weighted):
        return
    raise ServiceError(
        "one-of",
        "ask with exactly one of a text, an image, a study, a stored image and a vector; or with several, "
        "and weights for each.",
    )


def _weight_of(kind: str) -> str:
    return "image" if kind == "image_id" else kind


def _weights(
    value: Mapping[str, float] | None, kinds: Sequence[str], positive: Sequence[Any], negative: Sequence[Any]
) -> dict[str, float]:
    """The weights that were given; each is of something that the question has."""
    if not value:
        return {}
    present = {_weight_of(kind) for kind in kinds}
    if positive or negative:
        present |= {"query"} if kinds else set()
        present |= {"positive"} if positive else set()
        present |= {"negative"} if negative else set()
    weights = {name: float(number) for name, number in value.items()}
    for name, number in weights.items():
        if name not in WEIGHTS or name not in present or not 0 < number <= 1e6:
            raise ServiceError(
                "bad-weights",
                f"the weight {name}={number:g} cannot be used: give each of {', '.join(sorted(present))} a "
                "number above 0.",
            )
    return weights


def _box(value: Any, kinds: Sequence[str], parts: Mapping[str, tuple[Any, ...]]) -> Box | None:
    if value is None:
        return None
    if list(kinds) not in (["image"], ["image_id"]) or len(parts[kinds[0]]) != 1:
        raise ServiceError(
            "bad-crop", "a crop is of one image: ask with one file or one stored image, and nothing else."
        )
    try:
        left, top, right, bottom = map(float, value)
    except (TypeError, ValueError):
        raise _bad_box() from None
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise _bad_box()
    return left, top, right, bottom


def _bad_box() -> ServiceError:
    return ServiceError(
        "bad-crop",
        "crop takes left, top, right and bottom as fractions of the picture's width and height, between 0 "
        "and 1, such as 0.25,0.1,0.75,0.6.",
    )


def _options(given: Mapping[str, Any], kinds: Sequence[str], has_examples: bool) -> SearchOptions:
    from medsiglip.index.search_records import SearchOptions

    level = level_named(given.get("level") or ("study" if "study" in kinds else "image"))
    numbers = {name: given[name] for name in _PASSED_ON if name in given}
    diversity = float(given.get("diversity", 0.0))
    if not math.isfinite(diversity):
        raise ServiceError("bad-query", "diversity must lie between 0 and 1.")
    return SearchOptions(
        k=given.get("k", 10),
        level=level,
        where=tuple(several("where", given.get("where", ()))),
        exact=None if given.get("exact") is None else bool(given["exact"]),
        compare=_compare(given.get("compare"), level, kinds, has_examples),
        diversity=diversity,
        **numbers,
    )


def _compare(value: str | None, level: str, kinds: Sequence[str], has_examples: bool) -> Compare:
    has_sets = bool(kinds) and set(kinds) <= {"image", "image_id", "study"} and not has_examples
    if value is None:
        return "sets" if has_sets and level == "study" and set(kinds) == {"study"} else "means"
    if value == "means":
        return "means"
    if value != "sets" or level != "study" or not has_sets:
        raise ServiceError(
            "bad-compare",
            "compare is means, or sets for a search at level study by studies or images alone.",
        )
    return "sets"

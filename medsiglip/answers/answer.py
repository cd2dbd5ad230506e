"""`Answer`, the base of all answers, and the values that several of them hold."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from medsiglip.answers.paths import shown

Level = Literal["image", "series", "study"]


def _finite(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value  # a number of numpy
    return None if isinstance(value, float) and not math.isfinite(value) else value


Figure = Annotated[float | None, BeforeValidator(_finite)]
"""A number that may be missing; NaN and infinity, which JSON lacks, become None."""


def _in_iso(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


Moment = Annotated[str, BeforeValidator(_in_iso)]
"""A time in ISO 8601."""
ShownText = Annotated[str, BeforeValidator(lambda value: shown(value) if isinstance(value, str) else value)]
"""A text that is or names the path of a file; see `medsiglip.answers.paths`."""
Labels = dict[str, float | None]
"""Label values by name, 0 to 1."""


class Answer(BaseModel):
    """A frozen value, read by attribute or, in its JSON form, by key: `answer.hits`, `answer["hits"]`.

    The JSON object has the keys that were set, in the order of the fields. Fields that a newer service adds
    are ignored.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", from_attributes=True)

    def to_json(self) -> dict[str, Any]:
        """The answer as JSON values."""
        return self.model_dump(mode="json", exclude_unset=True)

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        return self.model_dump(mode="json", exclude_unset=True, include={name})[name]

    def __contains__(self, name: object) -> bool:
        return name in self.model_fields_set


class ErrorDetail(Answer):
    """A stable code, and a sentence for a person."""

    code: str
    message: str


class Refusal(Answer):
    """A file that could not be used, and why."""

    path: ShownText | None = None
    code: str
    reason: str


class AskedImage(Answer):
    """The image that was asked about, or that drove a score; `path` is shown to `admin` alone."""

    path: ShownText | None = None
    sop_instance_uid: str | None = None
    frame: int | None = None
    image_id: int | None = None
    rendering: str | None = None
    warnings: tuple[str, ...] = ()


class RemovedName(Answer):
    """Something with a name that is gone."""

    name: str
    removed: bool

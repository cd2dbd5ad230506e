"""What a search is asked over HTTP: one question, or several at once."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo

from medsiglip.answers.answer import Level
from medsiglip.answers.search_fields import MOST_PARTS, MOST_QUERIES
from medsiglip.api.http.schemas import Filters, ImageId, Question, Text, Uid
from medsiglip.index.search.ranking.cursor import LONGEST

_MOST_DIMENSIONS = 65_536
_Kind = Literal["text", "image", "study", "vector", "query", "positive", "negative"]
_Weight = Annotated[float, Field(gt=0, le=1e6)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Most = Annotated[int, Field(ge=1, le=1000)]


def _is_form(info: ValidationInfo) -> bool:
    return bool((info.context or {}).get("is_form"))


def _pairs(value: Any, info: ValidationInfo) -> Any:
    """`name=number` of form fields as an object."""
    if not _is_form(info):
        return value
    several = value if isinstance(value, list) else [value]
    parts = (str(one).partition("=") for one in several)
    return {name: number for name, _, number in parts}


def _numbers(value: Any, info: ValidationInfo) -> Any:
    """Numbers of a form, in a field for each or separated by commas."""
    if not _is_form(info) or not isinstance(value, list):
        return value
    return [part.strip() for one in value for part in str(one).split(",")]


def _vector(value: Any, info: ValidationInfo) -> Any:
    """A vector of a form: in base64 or as a JSON list, in one field."""
    return value[0] if _is_form(info) and isinstance(value, list) and len(value) == 1 else value


_Numbers = Annotated[list[_Number], Field(min_length=1, max_length=_MOST_DIMENSIONS)]
_Base64 = Annotated[str, Field(min_length=1, max_length=16 * _MOST_DIMENSIONS)]
_Examples = Annotated[list[ImageId | Uid], Field(max_length=MOST_PARTS)]


class OneSearch(Question):
    """One of a text, a study, a stored image and a vector; or several, with weights."""

    model_config = ConfigDict(json_schema_extra={"example": {"text": "left pleural effusion", "k": 5}})

    text: Text | None = None
    study_instance_uid: Uid | None = None
    study_instance_uids: Annotated[list[Uid], Field(max_length=MOST_PARTS)] = Field(default_factory=list)
    image_id: ImageId | None = None
    image_ids: Annotated[list[ImageId], Field(max_length=MOST_PARTS)] = Field(default_factory=list)
    vector: Annotated[_Numbers | _Base64 | None, BeforeValidator(_vector)] = Field(
        None,
        description="as many numbers as the index has dimensions, or their base64: float32, little-endian",
    )
    positive: _Examples = Field(
        default_factory=list, description="images by id and studies by UID that hits should be like"
    )
    negative: _Examples = Field(
        default_factory=list, description="images by id and studies by UID that hits should be unlike"
    )
    weights: Annotated[dict[_Kind, _Weight] | None, BeforeValidator(_pairs)] = Field(
        None,
        description="of each part, such as {'text': 0.7, 'image': 0.3}; of query, positives and negatives "
        "1, 0.75 and 0.15 unless given; in a form as text=0.7, repeatable",
    )
    crop: Annotated[
        Annotated[list[_Share], Field(min_length=4, max_length=4)] | None, BeforeValidator(_numbers)
    ] = Field(None, description="left, top, right and bottom of a region, as fractions of the picture")
    words: Text | None = Field(None, description="words that reports are searched for besides")
    k: int = Field(10, ge=1, le=1000)
    level: Level | None = Field(None, description="`study` when asked by a study, else `image`")
    where: Filters = Field(default_factory=list)
    include_same_patient: bool = False
    exact: bool | None = Field(
        None,
        description="false: may miss hits where that saves time; unless given, true for vectors in memory, "
        "and false for those in an engine",
    )
    min_score: Annotated[float, Field(ge=-1, le=1)] | None = None
    per_patient: _Most | None = Field(None, description="how many hits there may be of one patient")
    per_study: _Most | None = None
    per_series: _Most | None = None
    per_label: _Most | None = None
    dedupe: _Share | None = Field(
        None, description="the least cosine with a better hit at which a hit is collapsed into that"
    )
    diversity: _Share = Field(0.0, description="0: the best hits; more: hits unlike those above them")
    compare: Literal["means", "sets"] | None = Field(
        None, description="how studies are compared; `sets` when asked by a study at study level"
    )
    cursor: Annotated[str, Field(max_length=LONGEST, pattern="^[A-Za-z0-9_-]+$")] | None = Field(
        None, description="that of an answer to the same question, for its next page"
    )
    explain: bool = Field(False, description="adds `why_found`")

    def arguments(self) -> dict[str, Any]:
        """The arguments of `Archive.search`."""
        named = {"study_instance_uid": "study", "study_instance_uids": "studies"}
        fields = {named.get(name, name): getattr(self, name) for name in OneSearch.model_fields}
        return {name: value for name, value in fields.items() if value is not None}


class SearchQuestion(OneSearch):
    """A question, about the files of the form too; or several in `queries`."""

    queries: Annotated[list[OneSearch], Field(min_length=1, max_length=MOST_QUERIES)] | None = Field(
        None, description="questions that are asked at once, without any other field"
    )


IN_FORM: dict[str, dict[str, Any] | None] = {
    "queries": None,
    "vector": {"type": "string", "description": "float32, little-endian, in base64, or a JSON list"},
    "weights": {
        "type": "array",
        "items": {"type": "string", "pattern": "^(text|image|study|vector|query|positive|negative)="},
        "description": "the weight of a part, such as text=0.7; repeatable",
    },
    "crop": {"type": "string", "description": "left, top, right and bottom, separated by commas"},
}
"""Fields that a form holds otherwise than a JSON object; None for what it cannot hold."""

"""What requests hold: path and query parameters, and bodies, as JSON or as the fields of a form."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from medsiglip.answers.answer import Level
from medsiglip.index.catalogue.filters import MAX_EXPRESSIONS
from medsiglip.index.service.newest_first import LONGEST_CURSOR
from medsiglip.names import LONGEST_IN_URL, LONGEST_LABEL, LONGEST_PROBE, NAME, PATIENT_KEY, PROBE, UID

# What PostgreSQL takes as text: no NUL (its documentation, section 8.3).
NO_NUL = r"^[^\x00]*$"
Text = Annotated[str, Field(min_length=1, max_length=LONGEST_LABEL, pattern=NO_NUL)]
# Plain pictures have UIDs that were derived in the same form.
Uid = Annotated[str, Field(min_length=1, max_length=LONGEST_IN_URL, pattern=UID)]
# `medsiglip.index.catalogue.filters` limits the length of a filter, with the code of all its refusals.
FilterText = Annotated[str, Field(min_length=1, pattern=NO_NUL)]
Filters = Annotated[list[FilterText], Field(max_length=MAX_EXPRESSIONS)]
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_IN_URL, pattern=NAME)]
ProbeName = Annotated[str, Field(min_length=1, max_length=LONGEST_PROBE, pattern=PROBE)]

StudyPath = Annotated[
    str, Path(min_length=1, max_length=LONGEST_IN_URL, pattern=UID, description="StudyInstanceUID")
]
NamePath = Annotated[str, Path(min_length=1, max_length=LONGEST_IN_URL, pattern=NAME)]
ProbePath = Annotated[
    str,
    Path(min_length=1, max_length=LONGEST_PROBE, pattern=PROBE, description="a probe, or a version: name@2"),
]
KeyPath = Annotated[str, Path(min_length=1, max_length=LONGEST_IN_URL, pattern=PATIENT_KEY)]
Where = Annotated[
    list[FilterText],
    Query(
        max_length=MAX_EXPRESSIONS,
        description="`field=value` and the like, as in `--where`; repeated means and",
    ),
]

Cursor = Annotated[
    str | None,
    Query(max_length=LONGEST_CURSOR, description="`cursor` of the page before, for what comes after it"),
]


class Question(BaseModel):
    """A body whose fields are all known."""

    model_config = ConfigDict(extra="forbid", strict=True)


ImageId = Annotated[int, Field(ge=1, lt=2**63)]


class ClassifyQuestion(Question):
    """A study, or the files of the form, against one of `labels`, `prompts` and `probe`."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"study_instance_uid": "1.2.840.1", "prompts": "chest-xray"}}
    )

    study_instance_uid: Uid | None = None
    labels: Annotated[list[Text], Field(min_length=1, max_length=1000)] | None = Field(
        None, description="free texts; in a form separated by commas, or each in a field `label`"
    )
    prompts: Name | None = Field(None, description="the name of a prompt set")
    exclusive: bool = Field(False, description="one of the labels is right and the others are not")
    scoring: Literal["protocol", "sigmoid"] = Field(
        "protocol", description="the published protocol, or the model's own sigmoid"
    )
    probe: ProbeName | None = Field(None, description="the name of a probe, or a version of it: name@2")
    by_image: bool = Field(False, description="the scores of each image of the study, too")


class ImageInput(Question):
    """A picture: PNG, JPEG, TIFF, BMP or DICOM in base64, as a data URI (RFC 2397)."""

    image: Annotated[str, Field(min_length=1, pattern="^data:")]


# As many as a text may have characters; the model takes fewer.
Tokens = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1, max_length=LONGEST_LABEL)]


class EmbeddingsQuestion(Question):
    """As OpenAI's embeddings, with pictures beside texts; tokens are those of the service's own model."""

    model_config = ConfigDict(json_schema_extra={"example": {"model": "", "input": ["pleural effusion"]}})

    model: Annotated[str, Field(max_length=1024)] = Field("", description="as GET /v1/info says; empty: any")
    input: Text | Tokens | Annotated[list[Text | ImageInput | Tokens], Field(min_length=1, max_length=2048)]
    encoding_format: Literal["float", "base64"] = Field("float", description="base64: float32, little-endian")
    dimensions: int | None = Field(None, ge=1, le=65536, description="only the model's own")
    user: Annotated[str, Field(max_length=1024)] | None = None


class PredictQuestion(Question):
    """A study, or the files of the form."""

    model_config = ConfigDict(json_schema_extra={"example": {"study_instance_uid": "1.2.840.1"}})

    study_instance_uid: Uid | None = None


class ProbeQuestion(Question):
    """A probe to train, on stored `labels` or on the CSV of the form."""

    model_config = ConfigDict(json_schema_extra={"example": {"name": "effusion", "labels": ["effusion"]}})

    name: Name
    labels: Annotated[list[Text], Field(max_length=200)] = Field(default_factory=list)
    level: Level = "image"
    where: Filters = Field(default_factory=list)
    exclusive: bool = Field(False, description="the labels are classes of which each case has one")
    pooling: Literal["mean", "max"] = Field(
        "mean", description="how the pictures of a series or study become one score"
    )
    folds: int = Field(5, ge=5, le=20, description="folds of patients that figures are taken on")
    split: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="a column of the CSV, or a stored quality, with train, validation and test"
    )
    class_weight: Literal["balanced"] | None = None


class StoreQuestion(Question):
    """Of which images predictions are stored."""

    model_config = ConfigDict(json_schema_extra={"example": {"where": ["modality=DX"]}})

    where: Filters = Field(default_factory=list)


class ImportQuestion(Question):
    """The files of an exported probe, and another name for it."""

    model_config = ConfigDict(json_schema_extra={"example": {"name": "effusion-of-b"}})

    name: Name | None = Field(None, description="what it is called here; its own name if not given")


class LabelRow(Question):
    """A label of one case: 1, 0, or null to take it back."""

    study_instance_uid: Uid | None = None
    series_instance_uid: Uid | None = None
    sop_instance_uid: Uid | None = None
    label: Text
    value: Annotated[float, Field(ge=0, le=1)] | None


class LabelsQuestion(Question):
    """Labels of cases as rows, or as the CSV of the form; or one label of every study that fits filters."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"rows": [{"study_instance_uid": "1.2.840.1", "label": "effusion", "value": 1}]}
        }
    )

    rows: Annotated[list[LabelRow], Field(max_length=100_000)] = Field(default_factory=list)
    where: Filters | None = Field(None, description="label every study that fits; [] for all studies")
    label: Text | None = Field(None, description="with `where`: the label")
    value: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="with `where`: 1, 0, or null to take it back"
    )


class IngestQuestion(Question):
    """A folder or file that the service can read, below its allowed folders, or the files of the form."""

    model_config = ConfigDict(json_schema_extra={"example": {"path": "/data/dicom"}})

    path: Text | None = None
    metadata: Text | None = Field(None, description="a CSV that describes plain pictures")
    dry_run: bool = Field(
        False, description="tell what an ingest would do, and keep nothing; files that are sent are deleted"
    )
    engine: Literal["local", "ray"] | None = Field(
        None,
        description="for a path, what renders and encodes: the service's machine, or its Ray cluster; as "
        "the service is set up when absent. Files that are sent stay on the machine",
    )


class ReembeddingOrder(BaseModel):
    """Another model to embed with; without `to`, images that are drawn otherwise now are renewed."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"to": "google/medsiglip-448"}})

    to: Text | None = Field(
        None, description="tiny, a hub id, or a checkpoint folder that the service can read"
    )
    allow_missing: bool = Field(False, description="switch although files are gone; their images stay behind")


class ReportOrder(BaseModel):
    """What to draft; without `generator` and `options` as the route says, else `evidence-only`."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"study_instance_uid": "1.2.840.1"}}
    )

    study_instance_uid: Uid
    route: Name | None = None
    generator: str | None = Field(None, max_length=64)
    options: dict[str, Any] | None = Field(None, description="fields of a route's rule, such as `neighbours`")
    indication: str | None = Field(None, max_length=2000)


class Decision(BaseModel):
    """`revision` is that of the draft as it was seen; a draft with another has changed."""

    model_config = ConfigDict(extra="forbid")

    revision: int | None = Field(None, ge=1, le=2**31)


class SentenceChoice(BaseModel):
    """What to do with the sentence of this number: keep it with its concerns, edit it into `text`, cut it."""

    model_config = ConfigDict(extra="forbid")

    sentence: Annotated[int, Field(ge=0, le=2**31)]
    choice: Literal["keep", "edit", "cut"]
    text: Annotated[str, Field(max_length=20_000, pattern=NO_NUL)] | None = None


SentenceChoices = Annotated[list[SentenceChoice], Field(max_length=10_000)]


class Review(Decision):
    """Decisions about sentences of the draft's `revision`, which is needed where there are any."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"revision": 1, "sentences": [{"sentence": 2, "choice": "cut"}]}}
    )

    sentences: SentenceChoices = Field(default_factory=list)


class Acceptance(Review):
    """`acknowledge` are ids of the draft's `concerns`, or of those that a review of the decisions gave; one
    that is missing is refused, unless its sentence is kept by a decision.
    """

    acknowledge: Annotated[list[Annotated[str, Field(max_length=2000)]], Field(max_length=10_000)] = Field(
        default_factory=list
    )


class Rejection(Decision):
    """Why a draft is rejected."""

    reason: str = Field(min_length=1, max_length=2000)


class Edit(Decision):
    """The text that stands in place of the draft's."""

    text: str = Field(min_length=1, max_length=100_000)

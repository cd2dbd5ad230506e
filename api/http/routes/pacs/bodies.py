"""What requests about PACS hold."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import ConfigDict, Field, model_validator

from medsiglip.api.archive.pacs.finding import DEFAULT_FOUND, FIELDS, LONGEST_VALUE, MOST_FOUND
from medsiglip.api.errors import ServiceError
from medsiglip.api.http.schemas import NO_NUL, Name, NamePath, Question, Uid
from medsiglip.names import LONGEST_IN_URL

PacsPath = NamePath
# PS3.5, section 9.1. Unlike those of an archive, UIDs of a PACS have no letters.
PacsUid = Annotated[
    str,
    Path(min_length=1, max_length=LONGEST_IN_URL, pattern=r"^[0-9.]+$", description="as the PACS has it"),
]
_Value = Annotated[str, Field(max_length=LONGEST_VALUE, pattern=NO_NUL)]
_Address = Annotated[str, Field(min_length=1, max_length=2000, pattern=NO_NUL)]
_Title = Annotated[str, Field(min_length=1, max_length=16, pattern=NO_NUL)]
_Day = Annotated[str, Field(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$", description="YYYY-MM-DD")]
# With `username` goes a file that holds its password.
_NAMING_SECRETS = (
    "ca_file",
    "certificate_file",
    "key_file",
    "token_file",
    "token_command",
    "username",
    "password_file",
)


class PacsOptions(Question):
    """How a PACS is reached: by DICOMweb at a `url`, or by DIMSE at `host`, `port` and `ae_title`."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"url": "https://pacs.example/dicom-web", "rate": 20}}
    )

    kind: Literal["dicomweb", "dimse"] | None = Field(None, description="as the other fields say, when unset")
    url: _Address | None = None
    host: Annotated[str, Field(min_length=1, max_length=253, pattern=NO_NUL)] | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    ae_title: _Title | None = None
    calling_ae_title: _Title | None = Field(None, description="of this side")
    retrieve: Literal["get", "move"] | None = Field(None, description="how studies come by DIMSE")
    move_destination: _Title | None = Field(None, description="by which the PACS knows the receiver here")
    changes_url: _Address | None = Field(None, description="the root of Orthanc's REST API")
    tls: bool | None = None
    rate: Annotated[float, Field(ge=0.01, le=100_000)] | None = Field(
        None, description="operations a second that a pull or a sync may cause; no limit when unset"
    )
    hours: Annotated[str, Field(pattern="^[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}$")] | None = Field(
        None, description="when a sync may work, in local time, such as 20:00-06:00"
    )
    timeout_seconds: Annotated[float, Field(ge=1, le=3600)] | None = None
    keep_files: bool | None = Field(None, description="whether files stay once their pictures are embedded")
    send_accepted: Annotated[list[Literal["sr", "pdf"]], Field(max_length=2)] | None = Field(
        None, description="documents of accepted drafts that are sent by themselves"
    )

    @model_validator(mode="before")
    @classmethod
    def _without_secrets(cls, given: Any) -> Any:
        named = [name for name in _NAMING_SECRETS if isinstance(given, dict) and name in given]
        if named:
            raise ServiceError(
                "pacs-secrets",
                f"{named[0]} names what only the server's own command line may name: use `medsiglip pacs "
                "add` there.",
            )
        return given


class _WantedStudies(Question):
    """What studies must be: `*` and `?` stand for characters in all but dates and UIDs."""

    patient_id: _Value | None = None
    patient_name: _Value | None = None
    accession_number: _Value | None = None
    study_instance_uid: Annotated[str, Field(max_length=LONGEST_IN_URL, pattern=NO_NUL)] | None = None
    modality: Annotated[str, Field(max_length=16, pattern=NO_NUL)] | None = None
    study_description: _Value | None = None
    from_date: _Day | None = None
    to_date: _Day | None = None

    def asked(self) -> dict[str, str]:
        """The fields that say something."""
        given = {name: getattr(self, name) for name in FIELDS}
        return {name: value for name, value in given.items() if value is not None and value.strip()}


class PacsQuestion(_WantedStudies):
    """What studies must be: `*` and `?` stand for characters in all but dates and UIDs."""

    model_config = ConfigDict(json_schema_extra={"example": {"modality": "CT", "from_date": "2026-03-01"}})

    limit: Annotated[int, Field(ge=1, le=MOST_FOUND)] = DEFAULT_FOUND


class PullOrder(_WantedStudies):
    """Studies to bring in, by their UIDs in the PACS, or those that a question finds."""

    model_config = ConfigDict(json_schema_extra={"example": {"study_instance_uids": ["1.2.840.1"]}})

    study_instance_uids: Annotated[list[Uid], Field(min_length=1, max_length=MOST_FOUND)] | None = None


class SyncWhere(Question):
    """Which studies a sync is about; what names a person is asked for in a pull."""

    modality: Annotated[str, Field(max_length=16, pattern=NO_NUL)] | None = None
    study_description: _Value | None = None


class SyncOrder(Question):
    """From which day on a PACS is compared with what is here, and which of its studies."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"since": "2026-03-01", "where": {"modality": "CT"}}}
    )

    since: _Day | None = Field(
        None, description="when unset it goes on from the sync before; the first one compares all"
    )
    where: SyncWhere | None = None


class DeliveryOrder(Question):
    """To which PACS an accepted draft goes, and as what."""

    model_config = ConfigDict(json_schema_extra={"example": {"to": "main", "formats": ["sr"]}})

    to: Name
    formats: Annotated[list[Literal["sr", "pdf"]], Field(min_length=1, max_length=2)] = Field(["sr"])


class FetchOrder(Question):
    """From which PACS the files of a study are fetched; the one that it last came from, when unset."""

    connection: Name | None = None


class ReleaseOrder(Question):
    """Whose files are deleted here; of all studies that came from the PACS, when unset."""

    study_instance_uids: Annotated[list[Uid], Field(min_length=1, max_length=MOST_FOUND)] | None = None

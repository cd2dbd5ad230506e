"""Tables of what gives scores a meaning: calibrations, predictions of probes, and backgrounds.

`calibrations` and `backgrounds` belong to a space, `predictions` to a probe and, so that they go with it, to
a study.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
)

from medsiglip.index.catalogue.schema import Id, UtcDateTime, metadata

# `subject` is what gives the scores: `prompts:NAME`, `labels` for free ones, or `probe:NAME`. A calibration
# is never changed: a new one of the same subject, level and label has the next `version`. `summary` holds its
# parameters, thresholds, counts and the hash of the texts or of the probe it was made for.
calibrations = Table(
    "calibrations",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("space_id", Id, ForeignKey("spaces.id"), nullable=False),
    Column("subject", String, nullable=False),
    Column("level", String, nullable=False),
    Column("label", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("method", String, nullable=False),
    Column("summary", JSON(none_as_null=True), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("space_id", "subject", "level", "label", "version"),
)

# `row_id` is the row of the image, series or study, as the probe's level says.
predictions = Table(
    "predictions",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("probe_id", Id, ForeignKey("probes.id"), nullable=False),
    Column("study_id", Id, ForeignKey("studies.id"), nullable=False, index=True),
    Column("row_id", BigInteger, nullable=False),
    Column("label", String, nullable=False),
    Column("value", Double, nullable=False),
    UniqueConstraint("probe_id", "label", "row_id"),
)

Index("ix_predictions_value", predictions.c.probe_id, predictions.c.label, predictions.c.value)

# `kind` says of what scores: `text`, `image`, `hits` and so on. `summary` holds quantiles, and how many
# images there were when they were measured; no vector and nothing of a patient.
backgrounds = Table(
    "backgrounds",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("space_id", Id, ForeignKey("spaces.id"), nullable=False),
    Column("kind", String, nullable=False),
    Column("summary", JSON(none_as_null=True), nullable=False),
    Column("measured_at", UtcDateTime, nullable=False),
    UniqueConstraint("space_id", "kind"),
)

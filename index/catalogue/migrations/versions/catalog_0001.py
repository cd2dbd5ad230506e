"""The catalogue of version 0.1: cases, files, labels, vectors and probes.

Revision ID: 0001
Revises: nothing
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _key() -> sa.Column[Any]:
    return sa.Column("id", _ID, autoincrement=False, nullable=False)


def upgrade() -> None:
    """Create the tables and the one row of `home`."""
    op.create_table(
        "doomed_files",
        _key(),
        sa.Column("pattern", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_doomed_files"),
    )
    op.create_table(
        "labels",
        _key(),
        sa.Column("level", sa.String(), nullable=False),
        sa.Column("uid", sa.String(), nullable=False),
        sa.Column("pixel_hash", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("is_class", sa.Boolean(), nullable=False),
        sa.CheckConstraint("level IN ('study', 'series', 'instance')", name=op.f("ck_labels_level")),
        sa.PrimaryKeyConstraint("id", name="pk_labels"),
        sa.UniqueConstraint("level", "uid", "pixel_hash", "name", name="uq_labels_level_uid_pixel_hash_name"),
    )
    op.create_index("ix_labels_name", "labels", ["name"])
    op.create_table(
        "patients",
        _key(),
        sa.Column("patient_key", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_patients"),
        sa.UniqueConstraint("patient_key", name="uq_patients_patient_key"),
    )
    op.create_table(
        "spaces",
        _key(),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("checkpoint_hash", sa.String(), nullable=False),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("dimension", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_spaces"),
        sa.UniqueConstraint("name", name="uq_spaces_name"),
    )
    op.create_table(
        "home",
        _key(),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("next_id", sa.BigInteger(), nullable=False),
        sa.Column("space_id", _ID),
        sa.Column("key_fingerprint", sa.String()),
        sa.CheckConstraint("id = 1", name=op.f("ck_home_single_row")),
        sa.ForeignKeyConstraint(["space_id"], ["spaces.id"], name="fk_home_space_id_spaces"),
        sa.PrimaryKeyConstraint("id", name="pk_home"),
    )
    op.create_table(
        "probes",
        _key(),
        sa.Column("space_id", _ID, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("summary", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["space_id"], ["spaces.id"], name="fk_probes_space_id_spaces"),
        sa.PrimaryKeyConstraint("id", name="pk_probes"),
        sa.UniqueConstraint("name", name="uq_probes_name"),
    )
    op.create_table(
        "shards",
        _key(),
        sa.Column("space_id", _ID, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("dtype", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["space_id"], ["spaces.id"], name="fk_shards_space_id_spaces"),
        sa.PrimaryKeyConstraint("id", name="pk_shards"),
        sa.UniqueConstraint("name", name="uq_shards_name"),
    )
    op.create_index("ix_shards_space_id", "shards", ["space_id"])
    op.create_table(
        "studies",
        _key(),
        sa.Column("patient_id", _ID, nullable=False),
        sa.Column("study_instance_uid", sa.String(), nullable=False),
        sa.Column("patient_sex", sa.String()),
        sa.Column("patient_age", sa.Double()),
        sa.Column("study_date", sa.String(length=10)),
        sa.Column("study_description", sa.String()),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name="fk_studies_patient_id_patients"),
        sa.PrimaryKeyConstraint("id", name="pk_studies"),
        sa.UniqueConstraint("study_instance_uid", name="uq_studies_study_instance_uid"),
    )
    op.create_index("ix_studies_patient_id", "studies", ["patient_id"])
    op.create_index("ix_studies_study_date", "studies", ["study_date"])
    op.create_table(
        "series",
        _key(),
        sa.Column("study_id", _ID, nullable=False),
        sa.Column("series_instance_uid", sa.String(), nullable=False),
        sa.Column("modality", sa.String()),
        sa.Column("body_part_examined", sa.String()),
        sa.Column("view_position", sa.String()),
        sa.Column("laterality", sa.String()),
        sa.Column("series_description", sa.String()),
        sa.Column("manufacturer", sa.String()),
        sa.Column("orientation", sa.String()),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_series_study_id_studies"),
        sa.PrimaryKeyConstraint("id", name="pk_series"),
        sa.UniqueConstraint("study_id", "series_instance_uid", name="uq_series_study_id_series_instance_uid"),
    )
    op.create_index("ix_series_series_instance_uid", "series", ["series_instance_uid"])
    op.create_table(
        "instances",
        _key(),
        sa.Column("series_id", _ID, nullable=False),
        sa.Column("sop_instance_uid", sa.String(), nullable=False),
        sa.Column("pixel_hash", sa.String(), nullable=False),
        sa.Column("sop_class_uid", sa.String()),
        sa.Column("transfer_syntax_uid", sa.String()),
        sa.Column("photometric_interpretation", sa.String()),
        sa.Column("rows", sa.Integer()),
        sa.Column("columns", sa.Integer()),
        sa.Column("number_of_frames", sa.Integer()),
        sa.Column("instance_number", sa.Integer()),
        sa.ForeignKeyConstraint(["series_id"], ["series.id"], name="fk_instances_series_id_series"),
        sa.PrimaryKeyConstraint("id", name="pk_instances"),
        sa.UniqueConstraint(
            "sop_instance_uid", "pixel_hash", name="uq_instances_sop_instance_uid_pixel_hash"
        ),
    )
    op.create_index("ix_instances_series_id", "instances", ["series_id"])
    op.create_table(
        "files",
        _key(),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("content_hash", sa.String()),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("code", sa.String()),
        sa.Column("reason", sa.String()),
        sa.Column("sop_instance_uid", sa.String()),
        sa.Column("pixel_hash", sa.String()),
        sa.Column("instance_id", _ID),
        sa.ForeignKeyConstraint(["instance_id"], ["instances.id"], name="fk_files_instance_id_instances"),
        sa.PrimaryKeyConstraint("id", name="pk_files"),
        sa.UniqueConstraint("path", name="uq_files_path"),
    )
    op.create_index("ix_files_instance_id", "files", ["instance_id"])
    op.create_table(
        "images",
        _key(),
        sa.Column("space_id", _ID, nullable=False),
        sa.Column("instance_id", _ID, nullable=False),
        sa.Column("series_id", _ID, nullable=False),
        sa.Column("study_id", _ID, nullable=False),
        sa.Column("shard_id", _ID, nullable=False),
        sa.Column("frame", sa.Integer(), nullable=False),
        sa.Column("slice_index", sa.Integer()),
        sa.Column("rendering", sa.String(), nullable=False),
        sa.Column("rendering_params", sa.JSON(), nullable=False),
        sa.Column("warnings", sa.JSON(), nullable=False),
        sa.Column("quality", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["instance_id"], ["instances.id"], name="fk_images_instance_id_instances"),
        sa.ForeignKeyConstraint(["series_id"], ["series.id"], name="fk_images_series_id_series"),
        sa.ForeignKeyConstraint(["shard_id"], ["shards.id"], name="fk_images_shard_id_shards"),
        sa.ForeignKeyConstraint(["space_id"], ["spaces.id"], name="fk_images_space_id_spaces"),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_images_study_id_studies"),
        sa.PrimaryKeyConstraint("id", name="pk_images"),
        sa.UniqueConstraint(
            "instance_id",
            "space_id",
            "frame",
            "rendering",
            name="uq_images_instance_id_space_id_frame_rendering",
        ),
    )
    op.create_index("ix_images_series_id", "images", ["series_id"])
    op.create_index("ix_images_shard_id", "images", ["shard_id"])
    op.create_index("ix_images_study_id", "images", ["study_id"])
    op.execute("INSERT INTO home (id, version, next_id) VALUES (1, 0, 1)")


def downgrade() -> None:
    """Drop them, what refers to others first."""
    for table in (
        "images",
        "files",
        "instances",
        "series",
        "studies",
        "shards",
        "probes",
        "home",
        "spaces",
        "patients",
        "labels",
        "doomed_files",
    ):
        op.drop_table(table)

"""All tables of the catalogue, and the one row of `home`.

Names of constraints and indexes follow the naming convention of `medsiglip.index.catalogue.schema`.

Revision ID: 0005
Revises: nothing; what was before was never released
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)
_STRING = sa.String()


def upgrade() -> None:
    """Create the tables; the triggers that make the audit trail append-only; the row of `home`."""
    _create_vectors()
    _create_cases()
    _create_labels_and_files()
    _create_service()
    _create_drafts()
    _refuse_changes_of_audit_events()
    row = sa.text("INSERT INTO home (id, version, next_id, identity) VALUES (1, 0, 1, :identity)")
    op.execute(row.bindparams(identity=uuid4().hex))


def _key() -> sa.Column[Any]:
    return sa.Column("id", _ID, primary_key=True, autoincrement=False)


def _owner(name: str, target: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, _ID, sa.ForeignKey(target), nullable=False, **options)


def _needed(name: str, kind: Any = _STRING, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, **options)


def _optional(*names: str, kind: Any = _STRING) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind) for name in names]


def _create_vectors() -> None:
    op.create_table(
        "spaces",
        _key(),
        _needed("name", unique=True),
        _needed("checkpoint_hash"),
        _needed("profile"),
        _needed("dimension", sa.Integer()),
        _needed("model"),
    )
    op.create_table(
        "home",
        _key(),
        _needed("version", sa.BigInteger()),
        _needed("next_id", sa.BigInteger()),
        sa.Column("space_id", _ID, sa.ForeignKey("spaces.id")),
        *_optional("key_fingerprint", "phi"),
        sa.Column("identity", sa.String(32)),
        sa.CheckConstraint("id = 1", name="single_row"),
    )
    op.create_table(
        "shards",
        _key(),
        _owner("space_id", "spaces.id", index=True),
        _needed("name", unique=True),
        _needed("rows", sa.Integer()),
        _needed("dtype"),
    )
    op.create_table(
        "probes",
        _key(),
        _owner("space_id", "spaces.id"),
        _needed("name", unique=True),
        _needed("file"),
        _needed("summary", sa.JSON()),
        _needed("created_at", _MOMENT),
    )


def _create_cases() -> None:
    op.create_table("patients", _key(), _needed("patient_key", unique=True))
    op.create_table(
        "studies",
        _key(),
        _owner("patient_id", "patients.id", index=True),
        _needed("study_instance_uid", unique=True),
        sa.Column("patient_sex", _STRING),
        sa.Column("patient_age", sa.Double()),
        sa.Column("study_date", sa.String(10), index=True),
        sa.Column("study_description", _STRING),
        sa.Column("identity", sa.JSON()),
        _needed("added_at", _MOMENT),
    )
    op.create_table(
        "series",
        _key(),
        _owner("study_id", "studies.id"),
        _needed("series_instance_uid", index=True),
        *_optional("modality", "body_part_examined", "view_position", "laterality"),
        *_optional("series_description", "manufacturer", "orientation"),
        sa.UniqueConstraint("study_id", "series_instance_uid"),
    )
    op.create_table(
        "instances",
        _key(),
        _owner("series_id", "series.id", index=True),
        _needed("sop_instance_uid"),
        _needed("pixel_hash"),
        *_optional("sop_class_uid", "transfer_syntax_uid", "photometric_interpretation"),
        *_optional("rows", "columns", "number_of_frames", "instance_number", kind=sa.Integer()),
        sa.UniqueConstraint("sop_instance_uid", "pixel_hash"),
    )
    op.create_table(
        "images",
        _key(),
        _owner("space_id", "spaces.id"),
        _owner("instance_id", "instances.id"),
        _owner("series_id", "series.id", index=True),
        _owner("study_id", "studies.id", index=True),
        _owner("shard_id", "shards.id", index=True),
        _needed("frame", sa.Integer()),
        sa.Column("slice_index", sa.Integer()),
        _needed("rendering"),
        _needed("rendering_params", sa.JSON()),
        _needed("warnings", sa.JSON()),
        _needed("quality", sa.JSON()),
        sa.UniqueConstraint("instance_id", "space_id", "frame", "rendering"),
    )


def _create_labels_and_files() -> None:
    op.create_table(
        "labels",
        _key(),
        _needed("level"),
        _needed("uid"),
        _needed("pixel_hash"),
        _needed("name", index=True),
        _needed("value", sa.Double()),
        _needed("is_class", sa.Boolean()),
        sa.UniqueConstraint("level", "uid", "pixel_hash", "name"),
        sa.CheckConstraint("level IN ('study', 'series', 'instance')", name="level"),
    )
    op.create_table(
        "files",
        _key(),
        _needed("path", unique=True),
        _needed("size", sa.BigInteger()),
        _needed("mtime_ns", sa.BigInteger()),
        sa.Column("content_hash", _STRING),
        _needed("outcome"),
        *_optional("code", "reason", "sop_instance_uid", "pixel_hash", "patient_key", "study_instance_uid"),
        sa.Column("instance_id", _ID, sa.ForeignKey("instances.id"), index=True),
    )
    op.create_table("doomed_files", _key(), _needed("pattern"))
    op.create_table(
        "unfinished_files",
        sa.Column("token", sa.String(32), primary_key=True),
        _needed("pattern"),
        _needed("since", _MOMENT),
    )


def _create_service() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(32), primary_key=True),
        _needed("kind"),
        _needed("status"),
        _needed("parameters", sa.JSON()),
        _needed("done", sa.BigInteger()),
        sa.Column("total", sa.BigInteger()),
        _needed("stage"),
        *_optional("result", "error", kind=sa.JSON()),
        sa.Column("key_id", _STRING),
        sa.Column("idempotency_key", _STRING, unique=True),
        _needed("priority", sa.Integer()),
        _needed("attempts", sa.Integer()),
        _needed("change", sa.BigInteger()),
        sa.Column("worker", _STRING),
        _needed("cancel_requested", sa.Boolean()),
        _needed("not_before", _MOMENT),
        sa.Column("lease_until", _MOMENT),
        _needed("created_at", _MOMENT),
        *_optional("started_at", "finished_at", kind=_MOMENT),
        sa.CheckConstraint("status IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="status"),
    )
    op.create_index("ix_jobs_status", "jobs", ["status", "created_at"])
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(16), primary_key=True),
        _needed("name"),
        _needed("secret_hash", sa.String(64)),
        _needed("scopes", sa.JSON()),
        _needed("created_at", _MOMENT),
        *_optional("expires_at", "revoked_at", kind=_MOMENT),
    )
    op.create_table(
        "audit_events",
        sa.Column("sequence", _ID, primary_key=True, autoincrement=False),
        _needed("at", sa.String(32)),
        _needed("actor"),
        _needed("action"),
        _needed("studies", sa.JSON()),
        _needed("details", sa.JSON()),
        sa.Column("request_id", _STRING),
        _needed("previous_hash", sa.String(64)),
        _needed("hash", sa.String(64)),
    )


def _create_drafts() -> None:
    op.create_table(
        "report_texts",
        sa.Column("study_id", _ID, sa.ForeignKey("studies.id"), primary_key=True, autoincrement=False),
        sa.Column("source", _STRING, primary_key=True),
        _needed("text"),
        _needed("words"),
        _needed("added_at", _MOMENT),
        sa.CheckConstraint("source IN ('accepted', 'import', 'metadata')", name="source"),
    )
    op.create_table(
        "routes",
        sa.Column("name", sa.String(64), primary_key=True),
        _needed("rule", sa.JSON()),
        _needed("enabled", sa.Boolean()),
        _needed("priority", sa.Integer()),
        _needed("since_image_id", _ID),
        _needed("seen_image_id", _ID),
        _needed("created_at", _MOMENT),
        _needed("updated_at", _MOMENT),
    )
    op.create_table(
        "route_decisions",
        sa.Column("route", sa.String(64), sa.ForeignKey("routes.name"), primary_key=True),
        _owner("study_id", "studies.id", primary_key=True, index=True),
        _needed("outcome"),
        sa.Column("reason", _STRING),
        sa.Column("job_id", sa.String(32)),
        _needed("decided_at", _MOMENT),
        sa.CheckConstraint("outcome IN ('sent', 'held')", name="outcome"),
    )
    op.create_table(
        "drafts",
        sa.Column("id", sa.String(32), primary_key=True),
        _owner("study_id", "studies.id", index=True),
        sa.Column("route", sa.String(64)),
        _needed("generator"),
        _needed("status"),
        _needed("text"),
        _needed("payload", sa.JSON()),
        _needed("revision", sa.Integer()),
        _needed("created_at", _MOMENT, index=True),
        sa.CheckConstraint("status IN ('draft', 'edited', 'accepted', 'rejected')", name="status"),
    )
    op.create_table(
        "draft_revisions",
        sa.Column("draft_id", sa.String(32), sa.ForeignKey("drafts.id"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        _needed("status"),
        _needed("by"),
        _needed("at", _MOMENT),
        *_optional("text", "difference", "reason"),
    )
    op.create_table(
        "draft_citations",
        sa.Column("draft_id", sa.String(32), sa.ForeignKey("drafts.id"), primary_key=True),
        _owner("study_id", "studies.id", primary_key=True, index=True),
    )


def _refuse_changes_of_audit_events() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION audit_events_stay() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'audit events are append-only'; END $$"
        )
        op.execute(
            "CREATE TRIGGER audit_events_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_events_stay()"
        )
        return
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_events_no_{verb.lower()} BEFORE {verb} ON audit_events "
            "BEGIN SELECT RAISE(ABORT, 'audit events are append-only'); END"
        )

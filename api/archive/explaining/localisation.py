"""What was measured of a model's maps: beside the checkpoint's files, or in the home that measured it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from medsiglip.answers.why import Localisation
from medsiglip.api.archive.opened import OnProgress, silent
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive

NAME = "localisation.json"
FEWEST = 30


def localisation(archive: OpenedArchive) -> Localisation | None:
    """The figures of the archive's model and profile, if they were measured."""
    space = archive.space
    for folder in (archive.home, archive.checkpoint.folder):
        try:
            return Localisation.model_validate(_read(folder / NAME).get(space.name))
        except ValueError:  # nothing was measured, or the file is damaged: `why --measure` writes it anew
            continue
    return None


def measure(
    archive: OpenedArchive, *, studies: int = 120, on_progress: OnProgress = silent
) -> dict[str, Any]:
    """Measure on `studies` phantoms how often the model's maps find their lesions, and keep the figures in
    the home, for the answers to `why`. Raises ServiceError `too-few-phantoms` below 30.
    """
    from medsiglip.phantoms.checkpoint.localisation import measure_localisation

    if studies < FEWEST:
        raise ServiceError("too-few-phantoms", f"{studies} phantoms say nothing: take {FEWEST} or more.")
    space = archive.space
    measured = measure_localisation(
        archive.patient_encoder,
        space.profile,
        studies,
        on_progress=lambda done, total: on_progress("synthesising", done, total),
    )
    figures = Localisation.model_validate(measured.to_json())
    if archive.is_there:
        _write(archive.home / NAME, {**_read(archive.home / NAME), space.name: figures.to_json()})
    return {"space": space.name, "localisation": figures.to_json()}


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(file: Path, content: dict[str, Any]) -> None:
    beside = file.with_name(f".{file.name}.{uuid4().hex}.tmp")
    beside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, file)

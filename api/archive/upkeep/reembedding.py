"""The images of an archive are embedded anew from their files: with another model, or as drawn today."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from medsiglip.answers.answer import Refusal
from medsiglip.answers.spaces import DroppedSpace, ReembeddingReport
from medsiglip.api.archive.files import AnyPath, require_paths
from medsiglip.api.archive.opened import OnProgress, OpenedArchive, silent
from medsiglip.api.archive.upkeep.outdated import is_outdated

if TYPE_CHECKING:
    from medsiglip.checkpoint import Checkpoint
    from medsiglip.index.records import Space

_LOOKED_UP_TOGETHER = 5000


def reembed(
    archive: OpenedArchive,
    to: str | None = None,
    *,
    allow_missing: bool = False,
    sources: Sequence[AnyPath] = (),
    workers: int | None = None,
    on_progress: OnProgress = silent,
) -> ReembeddingReport:
    """Embed every image anew with the model `to`, and then switch to it; without `to`, or with the home's own
    model, renew the images whose rendering has changed since, and bring in those that an earlier switch left
    behind and whose files are back.

    Searches go on in the former space meanwhile, which stays until `drop_space`. What is done stays done when
    the run ends early, and the next one goes on. Images whose file is gone or has changed are counted and
    listed; they keep the archive in its former space unless `allow_missing`. A home that keeps no paths needs
    the folders of its files as `sources`.
    """
    from medsiglip.ingest.run.reembedding import MOST_LISTED, ModelInput
    from medsiglip.ingest.run.reembedding import reembed as run
    from medsiglip.ingest.workers.pool import usual_workers

    begun = time.monotonic()
    former = archive.searchable_space if to is None else archive.index.space or archive.searchable_space
    checkpoint, space = _target(archive, to, former)
    mention(archive, sources)
    counts = archive.index.instances.rendering_counts()
    outdated = [one for one in counts if is_outdated(one.rendering, one.version)]
    work = archive.index.reembedding(space, outdated)
    wanted = ModelInput(
        checkpoint.image_size, space.profile, workers or archive.settings.workers or usual_workers()
    )

    def report(done: int, total: int) -> None:
        on_progress("embedding anew", done, total)

    with _encoder(archive, checkpoint, space, former) as make_encoder:
        works = [work, *work.left_behind()]
        done = [
            run(archive.index, one, wanted, make_encoder, allow_missing=allow_missing, on_progress=report)
            for one in works
        ]
    _, total = work.count()
    finished = all(one.finished for one in done)
    listed = {path: file for one in done for path, file in one.files.items()}
    files = [listed[path] for path in sorted(listed)][:MOST_LISTED]
    return ReembeddingReport(
        space=(archive.index.space or former).name,
        former=former.name,
        model=space.model,
        switched=finished and space != former,
        finished=finished,
        images=total,
        embedded=sum(one.images for one in done),
        missing=sum(len(one.missing) for one in done),
        missing_files=tuple(Refusal.model_validate(one) for one in files),
        warnings=_warnings(archive, space, former, finished),
        seconds=round(time.monotonic() - begun, 3),
    )


def drop_space(archive: OpenedArchive, name: str) -> DroppedSpace:
    """Delete the vectors of a space that the archive does not work in. Raises CatalogError `unknown-space`,
    `space-in-use` and `space-needed`.
    """
    return DroppedSpace(space=name, images=archive.index.spaces.drop(name))


def _target(archive: OpenedArchive, to: str | None, former: Space) -> tuple[Checkpoint, Space]:
    """The checkpoint to embed with, and its space."""
    from medsiglip.checkpoint import open_checkpoint
    from medsiglip.index.records import Space

    if to is None:
        return archive.checkpoint, former
    checkpoint = open_checkpoint(to, hash_cache=archive.home / "checkpoint-hashes.json")
    profile = archive.settings.profile or former.profile
    space = Space(checkpoint.hash, profile, checkpoint.dimension, archive.model_name(checkpoint))
    return checkpoint, former if space == former else space


def mention(archive: OpenedArchive, sources: Sequence[AnyPath]) -> None:
    """Name the files below `sources` to an index that keeps no paths."""
    if not sources:
        return
    from medsiglip.ingest.files.walk import walk
    from medsiglip.ingest.privacy.deidentify import known_key

    require_paths(sources)
    known_key(archive.index)  # from here on paths are hashed
    found = walk(list(sources))
    while paths := [one.path for one in islice(found, _LOOKED_UP_TOGETHER)]:
        archive.index.files.at(paths)


@contextmanager
def _encoder(
    archive: OpenedArchive, checkpoint: Checkpoint, space: Space, former: Space
) -> Iterator[Callable[[], Any]]:
    """A function that loads the model when it is first needed; that of another space ends with the block."""
    made: list[Any] = []

    def make() -> Any:
        if space == former:
            return archive.patient_encoder
        made.append(archive.encoder_of(checkpoint, space.profile))
        return getattr(made[-1], "patient", made[-1])

    try:
        yield make
    finally:
        for one in made:
            if hasattr(one, "close"):
                one.close()


def _warnings(archive: OpenedArchive, space: Space, former: Space, finished: bool) -> tuple[str, ...]:
    """What else the new space needs."""
    if not finished or space == former:
        return ()
    left = sorted(probe.name for probe in archive.index.probes.listed() if probe.space == former.name)
    told = [f"the former space stays until `index drop-space {former.name}`"]
    if left:
        told.append(f"probes of the former space do not fit the new one; train again: {', '.join(left)}")
    return tuple(told)

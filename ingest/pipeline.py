"""The run: walk, look into what changed, draw in worker processes, encode in full batches, commit whole
units.

Files of one unit and the rows that remember them enter the index in one transaction, so a run that is killed
at any moment and started again ends with the same index as one that was not.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from index.records import FileRecord, LabelRecord, SeriesBundle, Space
from ingest._clock import StageClock
from ingest.deidentify import Phi, SecretKey
from ingest.errors import IngestError, InterruptedIngestError
from ingest.plan import PlanOptions
from ingest.rendered import Rendered, render_files
from ingest.report import IngestReport, OnProgress
from ingest.triage import Triage, find_changes, look_into

if TYPE_CHECKING:
    from index.case_index import CaseIndex
    from ingest.drawn_unit import DrawnUnit
    from ingest.metadata import PictureMetadata
    from ingest.plan import Unit
    from medsiglip.checkpoint import Checkpoint

# A commit holds what the encoder does in about this time, and at most so many bytes of model inputs.
COMMIT_EVERY_S = 8.0
FIRST_COMMIT_IMAGES = 64
MAX_COMMIT_BYTES = 192 << 20
# Starting a worker takes about half a second: fewer files than this are drawn in this process, if that is
# safe.
FEW_FILES = 12


class ImageEncoder(Protocol):
    """What the run needs of `medsiglip.encoder.Encoder`."""

    def encode_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Model inputs uint8 [n, S, S, 3] -> unit vectors float32 [n, d]."""


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """`workers` None means one for each core, at most 8."""

    workers: int | None = None
    metadata: Path | None = None
    plan: PlanOptions = field(default_factory=PlanOptions)
    phi: Phi = "pseudonymous"
    profile: str = "medsiglip-eval"


def ingest(
    paths: Sequence[str | Path],
    index: CaseIndex,
    checkpoint: Checkpoint,
    make_encoder: Callable[[], ImageEncoder],
    options: IngestOptions | None = None,
    on_progress: OnProgress | None = None,
) -> IngestReport:
    """Put the images under `paths` into `index`; `make_encoder` is called only if there is something to
    encode.

    Raises `IngestError` (`no-such-path`, `path-unreadable`, metadata and key codes, `worker-start-failed`),
    `InterruptedIngestError` on Ctrl-C once what was encoded is committed, and the index's `CatalogError`.
    """
    run = _Run(index, checkpoint, make_encoder, options or IngestOptions(), on_progress)
    try:
        return run.whole(paths)
    except KeyboardInterrupt:
        raise InterruptedIngestError(
            "interrupted",
            f"Stopped; {run.embedded} images are in the index. Run the same command again to go on.",
        ) from None


class _Run:
    def __init__(
        self,
        index: CaseIndex,
        checkpoint: Checkpoint,
        make_encoder: Callable[[], ImageEncoder],
        options: IngestOptions,
        on_progress: OnProgress | None,
    ) -> None:
        self.index = index
        self.checkpoint = checkpoint
        self.options = options
        self.on_progress = on_progress
        self.space = Space(checkpoint.hash, options.profile, checkpoint.dimension, checkpoint.name)
        self.triage = Triage()
        self.warnings: list[str] = []
        self.embedded = 0
        self._make_encoder = make_encoder
        self._encoder: ImageEncoder | None = None
        self._own: set[str] = set()
        self._copies: set[str] = set()
        self._files_embedded: set[str] = set()
        self._image_warnings: Counter[str] = Counter()
        self._commit_images = FIRST_COMMIT_IMAGES

    def whole(self, paths: Sequence[str | Path]) -> IngestReport:
        """The run from beginning to end."""
        begun = time.monotonic()
        metadata: Mapping[str, PictureMetadata] = {}
        if self.options.metadata is not None:
            from ingest.metadata import read_metadata

            metadata = read_metadata(self.options.metadata)
        self.index.activate(self.space)
        key = bound_key(self.index)
        self.triage, changed = find_changes(paths, self.index.known_files(), self.on_progress)
        if changed:
            look_into(self.triage, changed, self.index.known_instances(), key, metadata, self.on_progress)
            self.warnings += self.triage.warnings
            if self.triage.records:
                self.index.record_files(self.triage.records)
            if self.triage.headers:
                self._embed(key)
        if metadata:
            from ingest.placement import misplaced_pictures

            unchanged = [record for record in self.triage.unchanged if record.path in metadata]
            owners = self.index.owners([record.path for record in unchanged])
            self.warnings += misplaced_pictures(unchanged, owners, metadata, key)
        self.warnings += _set_labels(self.index, metadata)
        return self.report(time.monotonic() - begun)

    def _embed(self, key: SecretKey) -> None:
        """Draw, encode and commit every unit."""
        from ingest.placement import shared_studies
        from ingest.regroup import plan_with_index

        uids = {header.study_instance_uid for header in self.triage.headers}
        self.warnings += shared_studies(self.triage.headers, self.index.patients_of(uids))
        self._own = {header.path for header in self.triage.headers}
        self._copies = {same.path for copies in self.triage.copies.values() for same in copies}
        units, warnings = plan_with_index(self.triage.headers, self.index, key, self.options.plan)
        self.warnings += warnings
        clock = StageClock(self.on_progress, "embed", sum(len(unit.headers) for unit in units))
        clock.tell()
        pending: list[tuple[Unit, DrawnUnit]] = []
        images = 0
        with closing(self._draw(units)) as drawn_units:
            for unit, drawn in drawn_units:
                pending.append((unit, drawn))
                images += len(drawn.images)
                if images >= self._commit_images:
                    clock.advance(*self._commit(pending))
                    pending, images = [], 0
        clock.advance(*self._commit(pending))

    def report(self, seconds: float) -> IngestReport:
        """Account for every file of the run."""
        unchanged = [record.path for record in self.triage.unchanged]
        held = self.index.holdings([*unchanged, *self._files_embedded])
        copies = sum(len(same) for path, same in self.triage.copies.items() if path in self._files_embedded)
        rejected = sorted(self.triage.rejected, key=lambda r: r.path)
        return IngestReport(
            files=self.triage.files,
            files_embedded=len(self._files_embedded),
            files_unchanged=len(unchanged) + copies,
            studies=held.studies,
            series=held.series,
            instances=held.instances,
            images=held.images,
            embedded=self.embedded,
            unchanged=max(held.images - self.embedded, 0),
            skipped=tuple(r for r in rejected if r.outcome == "skipped"),
            quarantined=tuple(r for r in rejected if r.outcome == "quarantined"),
            warnings=(*self.warnings, *self._told_image_warnings()),
            space=self.space.name,
            seconds=seconds,
        )

    def _draw(self, units: Sequence[Unit]) -> Generator[tuple[Unit, DrawnUnit]]:
        size, profile = self.checkpoint.image_size, self.options.profile
        if _is_small_and_safe(units):
            from ingest.drawn_unit import draw_unit

            for unit in units:
                yield unit, draw_unit(unit, size, profile)
            return
        from ingest._pool import WorkerPool

        workers = self.options.workers or min(_cores(), 8)
        yield from WorkerPool(min(workers, len(units)), size, profile).draw_all(units)

    def _commit(self, pending: Sequence[tuple[Unit, DrawnUnit]]) -> tuple[int, int]:
        from ingest.bundle import bundle_of

        bundles: list[SeriesBundle] = []
        refused: list[FileRecord] = []
        inputs: list[NDArray[np.uint8]] = []
        for unit, drawn in pending:
            bundle, rows, rejections = bundle_of(unit, drawn, self.triage.copies)
            refused += rows
            self.triage.rejected += [r for r in rejections if r.path in self._own | self._copies]
            if bundle is not None:
                bundles.append(bundle)
                inputs.append(drawn.inputs)
                self._image_warnings.update(code for image in bundle.images for code in image.warnings)
        count = sum(map(len, inputs))
        if bundles:
            self.index.add(bundles, self._encode(inputs) if count else self._no_vectors())
            taken = {file.path for bundle in bundles for file in bundle.files}
            self._files_embedded |= taken & self._own
            self.embedded += count
        if refused:
            self.index.record_files(refused)
        return sum(len(unit.headers) for unit, _ in pending), count

    def _encode(self, inputs: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        encoder = self._encoder = self._encoder or self._make_encoder()
        together = np.concatenate(inputs)
        begun = time.monotonic()
        vectors = encoder.encode_images(together)
        rate = len(together) / max(time.monotonic() - begun, 1e-6)
        most = max(MAX_COMMIT_BYTES // (3 * self.checkpoint.image_size**2), 1)
        self._commit_images = int(min(max(rate * COMMIT_EVERY_S, 1), most))
        return vectors

    def _no_vectors(self) -> NDArray[np.float32]:
        return np.zeros((0, self.checkpoint.dimension), np.float32)

    def _told_image_warnings(self) -> list[str]:
        from ingest.render import WARNINGS

        return [
            f"{count} images, {code}: {WARNINGS[code]}."
            for code, count in sorted(self._image_warnings.items())
            if code in WARNINGS
        ]


def known_key(index: CaseIndex) -> SecretKey | None:
    """The key that the home is tied to, None if to none yet; never makes one.

    Raises `CatalogError` `key-mismatch` where the key file is missing or another.
    """
    if index.key_fingerprint is None:
        return None
    key = SecretKey.open(index.home) if (index.home / "secret.key").exists() else None
    index.bind_key(key.fingerprint if key else "")
    return key


def bound_key(index: CaseIndex) -> SecretKey:
    """The key of the home; one that was only just made is taken back if the index knows another."""
    was_there = (index.home / "secret.key").exists()
    key = SecretKey.open(index.home)
    try:
        index.bind_key(key.fingerprint)
    except Exception:
        if not was_there:
            (index.home / "secret.key").unlink(missing_ok=True)
        raise
    return key


def _is_small_and_safe(units: Sequence[Unit]) -> bool:
    """Few files, and none whose decoder is C code that a broken file could crash this process with."""
    from ingest.decode import COMPILED

    headers = [header for unit in units for header in unit.headers]
    return len(headers) <= FEW_FILES and all(h.transfer_syntax_uid not in COMPILED for h in headers)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _set_labels(index: CaseIndex, metadata: Mapping[str, PictureMetadata]) -> list[str]:
    records = [
        LabelRecord(name, value, "path", path, is_class=name == row.class_name)
        for path, row in metadata.items()
        for name, value in row.labels.items()
    ]
    if not records:
        return []
    outcome = index.set_labels(records)
    missing = len({record.key for record in outcome.unmatched})
    if not missing:
        return []
    return [f"{missing} paths of the metadata CSV with labels are not in the index; check the column `path`."]


__all__ = ["ImageEncoder", "IngestError", "IngestOptions", "Rendered", "ingest", "render_files"]

"""Embedding the images of an index anew from their sources, with another checkpoint or as drawn today.

Series by series: its files are rendered together as at their ingest, and the frames that the index holds are
encoded. What is committed stays, so a run that was ended goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.records import SEPARATOR, ImageRecord
from medsiglip.ingest.engines.engine import ImageEncoder
from medsiglip.ingest.engines.local import ENCODED_TOGETHER
from medsiglip.ingest.errors import InterruptedIngestError
from medsiglip.ingest.files.walk import FoundFile
from medsiglip.ingest.header.header import Header
from medsiglip.ingest.reasons import Rejected
from medsiglip.ingest.run.commits import COMMIT_EVERY_S, MAX_COMMIT_IMAGES
from medsiglip.ingest.run.interruption import interruptible
from medsiglip.ingest.run.persistence import persistent
from medsiglip.ingest.run.triage import is_as_recorded
from medsiglip.ingest.units.plan import PlanOptions, Unit, magnification_of, plan

if TYPE_CHECKING:
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.index.storage.reembedding import Reembedding, SourceImage
    from medsiglip.ingest.privacy.deidentify import SecretKey
    from medsiglip.ingest.workers.rendered_unit import RenderedUnit

_SERIES_TOGETHER = 200
MOST_LISTED = 1000

_ByPlace = dict[tuple[str, int], "SourceImage"]
"""Images of one series by SOP Instance UID and pixel hash, joined, and frame."""


@dataclass(slots=True)
class Renewed:
    """What a run did: images embedded, and files whose images stay as they were, of which at most 1,000 are
    listed.
    """

    images: int = 0
    missing: set[int] = field(default_factory=set)
    files: dict[str, Rejected] = field(default_factory=dict)
    finished: bool = False

    def lose(self, lost: Sequence[SourceImage], path: str, code: str) -> None:
        """Count images whose source cannot be used, and list its file."""
        self.missing |= {image.image_id for image in lost}
        if lost and len(self.files) < MOST_LISTED:
            self.files.setdefault(path, Rejected(path, code))


@dataclass(frozen=True, slots=True)
class ModelInput:
    """How a checkpoint wants its pictures: square, of `size` pixels, prepared by `profile`."""

    size: int
    profile: str
    workers: int


def reembed(
    index: CaseIndex,
    work: Reembedding,
    wanted: ModelInput,
    make_encoder: Callable[[], ImageEncoder],
    *,
    allow_missing: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Renewed:
    """Embed what is left of `work`, then finish it; images whose source is gone or has changed stay as they
    are, and keep it from finishing unless `allow_missing`.

    Raises `InterruptedIngestError` on Ctrl-C or SIGTERM, which keeps what was committed until then, and the
    index's `CatalogError`.
    """
    with interruptible() as interruption:
        lasting = cast("Reembedding", persistent(cast("CaseIndex", work), interruption.check))
        run = _Run(index, lasting, wanted, make_encoder, on_progress, interruption.check)
        try:
            while True:
                before = run.renewed.images + len(run.renewed.missing)
                run.go_through()
                if run.renewed.missing and not allow_missing:
                    break
                with interruption.held():
                    run.renewed.finished = lasting.finish(run.renewed.missing)
                # Not finished, images were added meanwhile.
                if run.renewed.finished or before == run.renewed.images + len(run.renewed.missing):
                    break
        except KeyboardInterrupt:
            raise InterruptedIngestError(
                "interrupted",
                f"Stopped; {run.renewed.images} images were embedded anew. Run the same command to go on.",
            ) from None
        return run.renewed


class _Run:
    def __init__(
        self,
        index: CaseIndex,
        work: Reembedding,
        wanted: ModelInput,
        make_encoder: Callable[[], ImageEncoder],
        on_progress: Callable[[int, int], None],
        check: Callable[[], None],
    ) -> None:
        from medsiglip.ingest.privacy.deidentify import known_key

        self.renewed = Renewed()
        self._index = index
        self._work = work
        self._wanted = wanted
        self._make_encoder = make_encoder
        self._on_progress = on_progress
        self._check = check
        self._key = known_key(index)
        self._encoder: ImageEncoder | None = None
        self._held: dict[int, tuple[_ByPlace, Mapping[str, str]]] = {}
        self._drawn: list[tuple[int, ImageRecord]] = []
        self._inputs: list[NDArray[np.uint8]] = []
        self._vectors: list[NDArray[np.float32]] = []
        self._last = 0.0
        # Each of the two looks through the whole catalogue.
        self._older_hashes = index.pixel_hashes.any_older()
        self._counted = (0, 0)

    def go_through(self) -> None:
        """Embed every image that is left and was not found missing before."""
        self._counted = self._work.count()
        self._report()
        with closing(self._rendered()) as rendered:
            for unit, drawn in rendered:
                self._check()
                self._take(unit, drawn)
                if sum(map(len, self._inputs)) >= ENCODED_TOGETHER:
                    self._encode()
                is_due = time.monotonic() - self._last >= COMMIT_EVERY_S
                if is_due or len(self._drawn) >= MAX_COMMIT_IMAGES:
                    self._commit()
        self._commit()

    def _rendered(self) -> Generator[tuple[Unit, RenderedUnit]]:
        from medsiglip.ingest.workers.pool import WorkerPool
        from medsiglip.ingest.workers.rendered_unit import render_unit
        from medsiglip.ingest.workers.unit_rendering import is_small_and_safe

        units = self._units()
        first = []
        for unit in units:
            first.append(unit)
            if not is_small_and_safe(first):
                break
        else:
            for unit in first:
                yield unit, render_unit(unit, self._wanted.size, self._wanted.profile)
            return
        pool = WorkerPool(self._wanted.workers, self._wanted.size, self._wanted.profile)

        def every() -> Iterator[Unit]:
            yield from first
            yield from units

        yield from pool.render_all(every(), self._check)

    def _units(self) -> Iterator[Unit]:
        """What is to be rendered, series by series."""
        after = 0
        while together := self._work.series(after, _SERIES_TOGETHER):
            for series_id in together:
                self._check()
                images = self._work.images(series_id)
                left = [image for image in images if not image.done]
                if any(image.image_id not in self.renewed.missing for image in left):
                    yield from self._units_of(series_id, images)
            after = together[-1]

    def _units_of(self, series_id: int, images: Sequence[SourceImage]) -> Iterator[Unit]:
        by_place = {(_identity(one.sop_instance_uid, one.pixel_hash), one.frame): one for one in images}
        headers, paths = self._sources(series_id, images)
        options = PlanOptions(
            max_slices=None,
            magnification=magnification_of(image.rendering for image in images),
            older_hashes=self._older_hashes,
        )
        frames = {(image.sop_instance_uid, image.frame) for image in images}
        left = {image.sop_instance_uid for image in images if not image.done}
        for whole in plan(headers, options):
            uids = [header.sop_instance_uid for header in whole.headers]
            if left.isdisjoint(uids):
                continue
            unit = replace(whole, slices=tuple(s for s in whole.slices if (uids[s.file], s.frame) in frames))
            self._held[id(unit)] = by_place, paths
            yield unit

    def _sources(self, series_id: int, images: Sequence[SourceImage]) -> tuple[list[Header], dict[str, str]]:
        """The header of a file for each instance of the images, and its path by identity; those without one
        are missing.
        """
        from medsiglip.ingest.privacy.deidentify import SecretKey
        from medsiglip.ingest.scan.scan import scan_file

        key: SecretKey = self._key or SecretKey(bytes(32))
        known: dict[str, list[str]] = {}
        records = self._index.files.of_series(self._work.uid_of(series_id))
        for record in sorted(records, key=lambda one: (not is_as_recorded(one, key), one.path)):
            identity = _identity(record.sop_instance_uid or "", record.pixel_hash or "")
            known.setdefault(identity, []).append(record.path)
        theirs: dict[str, list[SourceImage]] = {}
        for image in images:
            theirs.setdefault(_identity(image.sop_instance_uid, image.pixel_hash), []).append(image)
        headers, paths = [], {}
        for identity, of_instance in theirs.items():
            path, header = "", None
            for path in known.get(identity, ()):
                found = _found(path)
                scanned = scan_file(found, key) if found else None
                if (
                    isinstance(scanned, Header)
                    and scanned.sop_instance_uid == of_instance[0].sop_instance_uid
                ):
                    header = scanned
                    break
            if header is None:
                left = [image for image in of_instance if not image.done]
                shown = path if path.startswith("/") else f"SOP instance {of_instance[0].sop_instance_uid}"
                self.renewed.lose(left, shown, "source-gone")
            else:
                headers.append(header)
                paths[identity] = path
        return headers, paths

    def _take(self, unit: Unit, rendered: RenderedUnit) -> None:
        """Keep the model inputs of images that the index holds; those it holds and that did not come are
        missing.
        """
        from medsiglip.ingest.run.bundle import bundle_of

        by_place, paths = self._held.pop(id(unit))
        bundle, _, _ = bundle_of(unit, rendered, {})
        older = {one.pixel_hash: one.older_hash for one in rendered.files if one.older_hash}
        came: set[int] = set()
        for record, values in zip(bundle.images if bundle else (), rendered.inputs, strict=True):
            hashes = (record.pixel_hash, older.get(record.pixel_hash))
            places = [(_identity(record.sop_instance_uid, one), record.frame) for one in hashes if one]
            image = next((by_place[place] for place in places if place in by_place), None)
            if image is not None:
                came.add(image.image_id)
                if not image.done:
                    self._drawn.append((image.image_id, record))
                    self._inputs.append(values[np.newaxis].copy())
        codes = {unit.headers[one.file].path: one.code for one in rendered.files}
        for image in by_place.values():
            path = paths.get(_identity(image.sop_instance_uid, image.pixel_hash))
            if path in codes and not image.done and image.image_id not in came:
                self.renewed.lose([image], path, codes[path] or "source-changed")

    def _encode(self) -> None:
        if self._inputs:
            self._encoder = self._encoder or self._make_encoder()
            together, self._inputs = np.concatenate(self._inputs), []
            self._vectors.append(self._encoder.encode_images(together))

    def _commit(self) -> None:
        self._encode()
        if self._drawn:
            drawn, vectors = self._drawn, np.concatenate(self._vectors)
            self._drawn, self._vectors = [], []
            added = self._work.add(drawn, vectors)
            self.renewed.images += added
            done, total = self._counted
            self._counted = done + added, total
        self._last = time.monotonic()
        self._report()

    def _report(self) -> None:
        self._on_progress(*self._counted)


def _identity(sop_instance_uid: str, pixel_hash: str) -> str:
    return f"{sop_instance_uid} {pixel_hash}"


def _found(path: str) -> FoundFile | None:
    from medsiglip.ingest.files.source import source_status

    if not path.startswith("/") and SEPARATOR not in path:  # a home that keeps no paths
        return None
    try:
        return FoundFile(path, *source_status(path))
    except OSError:
        return None

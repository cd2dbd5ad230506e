"""What WADO-RS retrieves: metadata, frames, whole files and pictures of the instances of a study, series or
one, read from their files by workers (PS3.18, section 10.4).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from medsiglip.api.archive.dicomweb.lists import nameless
from medsiglip.api.errors import ServiceError
from medsiglip.index.catalogue.hierarchy.records import InstancePlace
from medsiglip.index.catalogue.paths import HIDDEN
from medsiglip.index.records import SEPARATOR
from medsiglip.ingest.errors import DecodeError
from medsiglip.ingest.reasons import REASONS
from medsiglip.ingest.retrieval.drawn_frame import Drawing
from medsiglip.ingest.retrieval.file_tasks import (
    BulkDataTask,
    DrawTask,
    FileHead,
    FileHeadTask,
    Frames,
    FramesTask,
    MetadataTask,
)
from medsiglip.ingest.retrieval.frame_source import file_size
from medsiglip.ingest.retrieval.instance_facts import InstanceFacts, InstanceFile
from medsiglip.ingest.retrieval.part_10 import SEQUENCE_END, item

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.ingest.privacy.deidentify import SecretKey
    from medsiglip.ingest.workers.messages import FileTask

Given = TypeVar("Given")
Made = TypeVar("Made")
# Files of one answer that are read at once.
_AHEAD = 4
_GONE = frozenset(("source-gone", "source-changed", "permission-denied", "unreadable-file"))


@dataclass(frozen=True, slots=True)
class Resource:
    """A study, a series of it, or an instance of that, by the UIDs of the archive."""

    study: str
    series: str | None = None
    instance: str | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """An instance, its file, None if that is gone, and whether it is `withheld`: its pixels may name or show
    the patient.
    """

    facts: InstanceFacts
    file: InstanceFile | None
    withheld: bool
    transfer_syntax_uid: str
    frames: int

    @property
    def place(self) -> str:
        """The path of the instance below the address of the service."""
        facts = self.facts
        return (
            f"studies/{facts.study_instance_uid}/series/{facts.series_instance_uid}"
            f"/instances/{facts.sop_instance_uid}"
        )


@dataclass(frozen=True, slots=True)
class Survey:
    """How many instances there are, how many files of them are gone, and how many others are withheld."""

    instances: int
    gone: int
    withheld: int


class Retrieval:
    """Reads the instances of one resource; `show_burned_in` includes those whose pixels may name or show the
    patient.

    Raises ServiceError `unknown-study`, `unknown-series`, `unknown-instance`; and of methods for one instance
    `instance-gone` where its file is not where it was or has changed, `burned-in`, `unknown-frame`,
    `unknown-bulk-data`, and the codes of `medsiglip.ingest.reasons` for what cannot be decoded.
    """

    def __init__(self, archive: OpenedArchive, resource: Resource, *, show_burned_in: bool = False) -> None:
        from medsiglip.ingest.privacy.deidentify import known_key

        self._archive = archive
        self._resource = resource
        self._show = show_burned_in
        first = next(self._held(), None)
        key = known_key(archive.index)
        if first is None or key is None:
            raise _unknown(resource)
        self._first = first
        self._key: SecretKey = key

    @property
    def one(self) -> Held:
        """The first instance, the only one where the resource is one."""
        return self._first

    def _held(self) -> Iterator[Held]:
        asked = self._resource
        for place in self._archive.index.hierarchy.places(asked.study, asked.series, asked.instance):
            yield _held(place)

    def survey(self) -> Survey:
        """What there is, by the catalogue and by which files are there."""
        instances = gone = withheld = 0
        for one in self._held():
            instances += 1
            gone += one.file is None
            withheld += one.file is not None and one.withheld and not self._show
        return Survey(instances, gone, withheld)

    def middle(self) -> Held:
        """The instance in the middle of those that may be shown: it stands for the resource. Raises as
        methods for one instance do if there is none.
        """
        shown = [one for one in self._held() if one.file is not None and (self._show or not one.withheld)]
        if not shown:
            self._refuse(self._first)
        return shown[len(shown) // 2]

    def metadata(self, base_url: str, *, decode: bool = False) -> Iterator[bytes]:
        """The header of each instance as DICOM JSON in UTF-8, of decoded frames with `decode`; where there
        are several, those whose files are gone or cannot be read are left out.
        """
        return self._each(lambda one: self._metadata(one, base_url, decode=decode))

    def _metadata(self, one: Held, base_url: str, *, decode: bool) -> bytes:
        file = self._file(one)
        task = MetadataTask(file, one.facts, self._key, f"{base_url}/{one.place}/bulkdata", decode)
        return cast(bytes, self._perform(task, file))

    def frames(self, one: Held, frames: Iterable[int], *, decode: bool) -> Iterator[bytes]:
        """Frames of an instance, counted from 0, read in parts of bounded size."""
        self._refuse_withheld(one)
        file, left = self._file(one), deque(frames)
        while left:
            task = FramesTask(file, self._key, tuple(left), decode, self._show)
            found = cast(Frames, self._perform(task, file))
            for part in found.parts:
                left.popleft()
                yield part

    def files(self, *, decode: Callable[[Held], bool]) -> Iterator[tuple[Held, Iterator[bytes]]]:
        """Each instance as a DICOM file in pieces; where there are several, those that are withheld, gone or
        cannot be read are left out.
        """
        return self._each(lambda one: (one, self._whole(one, decode=decode(one))))

    def _whole(self, one: Held, *, decode: bool) -> Iterator[bytes]:
        self._refuse_withheld(one)
        file = self._file(one)
        task = FileHeadTask(file, one.facts, self._key, decode, self._show)
        head = cast(FileHead, self._perform(task, file))
        return self._pieces(one, head, decode=decode)

    def _pieces(self, one: Held, head: FileHead, *, decode: bool) -> Iterator[bytes]:
        yield head.content
        size = 0
        for frame in self.frames(one, range(head.frames), decode=decode):
            size += len(frame)
            yield item(frame) if head.encapsulated else frame
        yield SEQUENCE_END if head.encapsulated else b"\0" * (size % 2)

    def bulk_data(self, place: tuple[int, ...]) -> bytes:
        """The bytes of one element by the path of its BulkDataURI."""
        file = self._file(self._first)
        return cast(bytes, self._perform(BulkDataTask(file, self._first.facts, self._key, place), file))

    def drawn(self, one: Held, frame: int | None, drawing: Drawing) -> bytes:
        """A frame as a picture, counted from 0, None for the middle one."""
        self._refuse_withheld(one)
        file = self._file(one)
        return cast(bytes, self._perform(DrawTask(file, self._key, frame, drawing, self._show), file))

    def _each(self, make: Callable[[Held], Made]) -> Iterator[Made]:
        if self._resource.instance is not None:
            return iter([make(self._first)])
        return _some(_ahead(self._held(), make))

    def _file(self, one: Held) -> InstanceFile:
        if one.file is None:
            raise _gone(self._archive.index.phi == "strict")
        return one.file

    def _refuse_withheld(self, one: Held) -> None:
        if one.withheld and not self._show:
            raise _withheld()

    def _refuse(self, one: Held) -> None:
        self._file(one)
        raise _withheld()

    def _perform(self, task: FileTask, file: InstanceFile) -> object:
        try:
            return self._archive.rendering_pool.perform(task, max(file.size, file_size(file.path)))
        except DecodeError as error:
            raise _refusal(error.code, self._archive.index.phi == "strict") from None


def _held(place: InstancePlace) -> Held:
    one, series, study = place.instance, place.instance.series, place.instance.series.study
    found = next((record for record in place.files if _is_there(record.path)), None)
    file = None
    if found is not None:
        file = InstanceFile(found.path, found.size, found.mtime_ns, one.sop_instance_uid, one.pixel_hash)
    facts = InstanceFacts(
        study.study_instance_uid,
        series.series_instance_uid,
        one.sop_instance_uid,
        study.patient_key,
        one.sop_class_uid,
        study.patient_sex,
        study.patient_age,
        study.study_date,
        study.study_time,
        nameless(study.study_description, study),
        nameless(series.series_description, study),
        series.modality,
        series.body_part_examined,
        series.view_position,
        series.laterality,
        nameless(series.manufacturer, study),
    )
    syntax = one.transfer_syntax_uid or ""
    return Held(facts, file, place.withheld, syntax, max(one.number_of_frames or 1, 1))


def _is_there(path: str) -> bool:
    return not path.startswith(HIDDEN) and os.path.isfile(path.split(SEPARATOR)[0])


def _ahead(given: Iterable[Given], make: Callable[[Given], Made]) -> Iterator[Made | ServiceError]:
    """What is made of each, in order, or why not; some are made while the caller uses those before."""
    with ThreadPoolExecutor(_AHEAD, "retrieval") as threads:
        waiting: deque[Future[Made]] = deque()
        try:
            for one in given:
                waiting.append(threads.submit(make, one))
                if len(waiting) >= _AHEAD:
                    yield _result(waiting.popleft().result)
            while waiting:
                yield _result(waiting.popleft().result)
        finally:
            for future in waiting:
                future.cancel()


def _result(wait: Callable[[], Made]) -> Made | ServiceError:
    try:
        return wait()
    except ServiceError as error:
        return error


def _some(made: Iterator[Made | ServiceError]) -> Iterator[Made]:
    """What could be made; the first error, if nothing could."""
    error: ServiceError | None = None
    found = False
    for one in made:
        if not isinstance(one, ServiceError):
            found = True
            yield one
        elif error is None:
            error = one
    if error is not None and not found:
        raise error


def _unknown(asked: Resource) -> ServiceError:
    if asked.instance is not None:
        return ServiceError("unknown-instance", "there is no such instance here: look it up by QIDO-RS.")
    if asked.series is not None:
        return ServiceError("unknown-series", "there is no such series here: look it up by QIDO-RS.")
    return ServiceError(
        "unknown-study", f"there is no study {asked.study} with DICOM instances here: look it up by QIDO-RS."
    )


def _gone(strict: bool) -> ServiceError:
    if strict:
        return ServiceError(
            "instance-gone",
            "the file of the instance cannot be found: a strict home keeps no paths, so that it can be read "
            "only by the process that ingested it.",
        )
    return ServiceError(
        "instance-gone",
        "the file of the instance is not where it was, or has changed: put it back, ingest it again, or "
        "`pacs fetch` the study where it came from a PACS.",
    )


def _withheld() -> ServiceError:
    return ServiceError(
        "burned-in",
        "the pixels may bear the patient's name or show a face: a key with the scope admin gets them with "
        "show_burned_in=true.",
    )


def _refusal(code: str, strict: bool) -> ServiceError:
    """The refusal of a worker's code."""
    if code in _GONE:
        return _gone(strict)
    if code == "burned-in":
        return _withheld()
    if code == "no-frame":
        return ServiceError("unknown-frame", "the instance has no such frame: its frames count from 1.")
    if code == "no-bulk-data":
        return ServiceError("unknown-bulk-data", "there is no bulk data at this address: take it as it is.")
    sentence = REASONS[code][1] if code in REASONS else "cannot be read; ingest it again"
    return ServiceError(code, f"the file of the instance {sentence}.")

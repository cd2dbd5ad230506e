"""The index of a home: all that the other packages use of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.case_upkeep import CaseUpkeep
from medsiglip.index.catalogue import case_queries, identity, spaces
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.opening import BUSY_SECONDS, open_catalogue
from medsiglip.index.catalogue.schema import ACTIVE_SPACE, images, instances, studies
from medsiglip.index.engines.home_engine import HomeEngine
from medsiglip.index.engines.opening import EngineSetting
from medsiglip.index.errors import CatalogError
from medsiglip.index.label_records import LabelRecord
from medsiglip.index.objects.opening import IN_THE_HOME, ObjectPlace
from medsiglip.index.records import (
    CaseTable,
    Hit,
    Level,
    Removal,
    RenderingCount,
    SeriesBundle,
    Space,
    StoredImage,
    StudyDetail,
    StudySummary,
)
from medsiglip.index.search.current_space import CurrentSpace
from medsiglip.index.search.kinds.index_kinds import AUTO
from medsiglip.index.search.ranking.image_sample import ImageSample, image_sample
from medsiglip.index.search.search import find, search
from medsiglip.index.search.set_to_set import StoredSets
from medsiglip.index.search_records import Asked, Found, SearchOptions
from medsiglip.index.storage import deletion, reembedding
from medsiglip.index.storage.insertion import Addition, add_cases
from medsiglip.index.storage.reembedding import Reembedding
from medsiglip.index.storage.sweeping import sweep
from medsiglip.index.vectors import Dtype

DEFAULTS = SearchOptions()
FORGET_SECONDS = 5.0
"""For so long a deletion goes on to tell the vector engine, which a worker or a search does else."""


class CaseIndex(CaseUpkeep):
    """Cases of one home: SQL says what exists, shards hold the vectors, FAISS is derived from them.

    Safe for several threads and several processes. Every method may raise the errors of disk and database
    (`medsiglip.index.catalogue.database`), such as `disk-full` or `database-unreachable`.
    """

    def __init__(
        self,
        database: Database,
        vector_dtype: Dtype,
        index_kind: str = AUTO,
        vector_engine: EngineSetting | None = None,
    ) -> None:
        engine = None if vector_engine is None else HomeEngine(database, vector_engine)
        super().__init__(database, CurrentSpace(database, index_kind, engine))
        self.home = database.home
        self.objects = database.objects
        self._dtype = vector_dtype

    @classmethod
    def open(
        cls,
        home: Path,
        *,
        create: bool = True,
        database_url: str | None = None,
        vector_dtype: Dtype = "float32",
        index_kind: str = AUTO,
        vector_engine: EngineSetting | None = None,
        busy_seconds: float = BUSY_SECONDS,
        objects: ObjectPlace = IN_THE_HOME,
    ) -> Self:
        """Open a home, made and migrated as needed. Nothing is deleted: see `clean_up`.

        With `create` False a folder without an archive is not changed: `CatalogError` `no-archive`.
        `vector_dtype` is how new vectors are stored, `index_kind` a kind of search or `auto` (`index_kinds`),
        `vector_engine` where vectors lie beside the shards (None: in the memory of each process that
        searches), `busy_seconds` how long to wait for another writer, and `objects` where the files lie that
        rows name. The engine is reached when it is first needed.
        Raises `CatalogError` `older-home` or `newer-home` for a home of a version that this one cannot read,
        `other-catalogue` if home and catalogue do not belong together, `other-object-store` if its files lie
        elsewhere, and `older-catalogue` if the home has changed since the catalogue was saved.
        """
        database = open_catalogue(
            home, database_url, create=create, busy_seconds=busy_seconds, objects=objects
        )
        try:
            identity.check_age(database)
        except BaseException:
            database.close()
            raise
        return cls(database, vector_dtype, index_kind, vector_engine)

    def close(self) -> None:
        """Write a snapshot of FAISS if it is worth it, and disconnect from the catalogue."""
        try:
            self._current.close()
        finally:
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The space

    @property
    def space(self) -> Space | None:
        """The active space, or None before the first `activate`."""
        active = self._current.find()
        return None if active is None else active.space

    def activate(self, space: Space) -> None:
        """Make this the home's space; raises `CatalogError` `space-mismatch` if it has another."""
        self._current.activate(space)

    def hide_paths(self, code: Callable[[str], str]) -> None:
        """Store `code(path)`, a keyed hash, in place of each path of a file from now on, and look paths up by
        it.

        Questions and answers still have real paths. An answer about a file that was not in a question has
        none.
        """
        self._paths.hide(code)

    # Adding and deleting cases

    def add(
        self, bundles: Sequence[SeriesBundle], vectors: NDArray[np.float32], space: Space | None = None
    ) -> list[int]:
        """Add whole series in one transaction; returns the image id of each image, in the bundles' order.

        `vectors` is float32 [n, d] of unit length, one row for each image of the bundles, in order. What is
        in the index already, by (SOP Instance UID, pixel hash, frame, rendering), keeps its id and vector; of
        a series that is replaced, what is drawn as it was. A study stays with the patient whom it has.
        `space` is the one that the vectors were made for. Raises `CatalogError` `no-space`, `bad-vectors`, or
        `space-switched` where the home works in another by now.
        """
        active = self._current.needed()
        if space is not None and space != active.space:
            raise spaces.switched()
        array = spaces.checked_vectors(vectors, sum(len(b.images) for b in bundles), active.space.dimension)
        stored = [self._paths.bundle(bundle) for bundle in bundles]
        image_ids = add_cases(self._database, Addition(active, stored, array, self._dtype))
        if any(bundle.replace_series for bundle in bundles):
            sweep(self._database)
        return image_ids

    def reembedding(self, wanted: Space | None, outdated: Sequence[RenderingCount] = ()) -> Reembedding:
        """Begin, or go on with, embedding all images anew for the space `wanted`; or in the active space
        those of the renderings `outdated`, if that is None or the same. Raises `CatalogError` `no-space`.
        """
        return reembedding.begin(self._database, self._current.needed(), wanted, outdated, self._dtype)

    def remove_study(self, study_instance_uid: str, pacs: deletion.PacsNames | None = None) -> Removal:
        """Delete a study and all that was made from it; raises `CatalogError` `unknown-study`.

        `pacs` says what the ledgers of PACS keep, so that no sync brings it back; without, they keep nothing.

        File records are deleted too: of ingested files; of refused files whose header had the UID of the
        study or of one of its instances; and, as their paths may name the patient, of refused files without a
        readable UID in the same folders or archives.
        """
        removal = deletion.remove_study(self._database, study_instance_uid, pacs)
        self._forget_in_engine()
        return removal

    def remove_patient(self, patient_key: str, pacs: deletion.PacsNames | None = None) -> Removal:
        """Delete all of a patient, as `remove_study` does; raises `CatalogError` `unknown-patient`."""
        removal = deletion.remove_patient(self._database, patient_key, pacs)
        self._forget_in_engine()
        return removal

    def _forget_in_engine(self) -> None:
        """Have the vector engine delete vectors now; one that is away, or has much to do, is told later."""
        with suppress(CatalogError):
            self.feed_engine(FORGET_SECONDS)

    # Looking up cases

    def studies(self, where: Sequence[str] = ()) -> list[StudySummary]:
        """Studies by date, of which at least one image passes the filters."""
        with self._database.read() as connection:
            return case_queries.study_summaries(connection, where)

    def study(self, study_instance_uid: str) -> StudyDetail:
        """One study with all below it; raises `CatalogError` `unknown-study`."""
        with self._database.read() as connection:
            return case_queries.study_detail(connection, study_instance_uid)

    def images_of(self, study_instance_uid: str) -> list[StoredImage]:
        """The images of a study in order; raises `CatalogError` `unknown-study`."""
        found = self._stored(studies.c.study_instance_uid == study_instance_uid)
        return found or list(self.study(study_instance_uid).images)

    def patients_of(self, study_instance_uids: Collection[str]) -> dict[str, str]:
        """The patient key of each of these studies that is in the index, by study UID."""
        with self._database.read() as connection:
            return case_queries.patients_of(connection, study_instance_uids)

    def get(self, image_id: int) -> StoredImage:
        """One image, also by its id in another space of the home; raises `CatalogError` `unknown-image`."""
        if not 0 < image_id < 2**63:  # beyond what a database takes as a number
            raise _unknown_image(image_id)
        same = images.c.id == image_id
        for image in self._stored(same) or self._stored(reembedding.same_picture(image_id)):
            return image
        raise _unknown_image(image_id)

    def find_image(self, sop_instance_uid: str, pixel_hash: str | None = None) -> list[StoredImage]:
        """The images of an instance, by frame; without a hash, of all instances with that UID."""
        conditions = [instances.c.sop_instance_uid == sop_instance_uid]
        if pixel_hash is not None:
            conditions.append(instances.c.pixel_hash == pixel_hash)
        return self._stored(*conditions)

    def _stored(self, *conditions: object) -> list[StoredImage]:
        with self._database.read() as connection:
            return case_queries.stored_images(connection, images.c.space_id == ACTIVE_SPACE, *conditions)

    # Searching and filtering

    def search(
        self,
        queries: NDArray[np.float32],
        *,
        k: int = 10,
        level: Level = "image",
        where: Sequence[str] = (),
        exclude_patients: Sequence[str | None] = (),
    ) -> list[list[Hit]]:
        """The k best of a level for each query, best first, equal scores by the lower id: exactly where the
        vectors lie in memory; those in an engine may lack a hit, as an answer of `find` says (`how`).

        `queries` is float32 [q, d]; `exclude_patients`, if given, has one patient key or None for each.
        `where` selects images: a series or study is a hit if one of its images passes, and shows the best of
        those. Raises `CatalogError` `bad-query`, `bad-filter`, `no-space`, `missing-shard` or
        `corrupt-shard`.
        """
        patients = list(exclude_patients)
        return search(self._current, queries, k=k, level=level, where=where, exclude_patients=patients)

    def find(self, asked: Sequence[Asked], options: SearchOptions = DEFAULTS) -> list[Found]:
        """What is found for each question, all asked in the same way and searched together: hits, a cursor
        for the next page, and how they were found.

        A cursor goes on behind an answer to the same question as if there were no pages. Images that came
        after the first page do not show: series and studies are ranked as they were without them. Cases that
        were deleted since neither show nor move others to an earlier page. Raises `CatalogError` as `search`
        does, and `bad-cursor`.
        """
        return find(self._current, asked, options)

    def background(self, asked: Asked, options: SearchOptions = DEFAULTS) -> NDArray[np.float32]:
        """The scores, float32 [m], that a question gets from at most 4096 images, series or studies spread
        evenly over all, or 256 studies compared set to set, without those of the patients who do not answer.
        """
        from medsiglip.index.search.ranking.background import background

        return background(self._current, asked, options)

    def table(
        self,
        level: Level = "image",
        where: Sequence[str] = (),
        *,
        among: Sequence[str] | None = None,
        given_labels: Sequence[LabelRecord] | None = None,
    ) -> CaseTable:
        """Every image, series or study that passes the filters, as columns with vectors and labels.

        With `among`, only of these studies, by UID: few of them are read from their shards without loading
        the others. `given_labels` replace the stored ones, by the same rules; a key that is not in the index
        has no effect. Raises `CatalogError` `bad-filter`, `bad-label`, `no-space`.
        """
        from medsiglip.index.search.table import table

        return table(self._database, self._current, level, where, among, given_labels)

    def table_parts(
        self, level: Level = "image", where: Sequence[str] = (), *, images_at_once: int = 20_000
    ) -> Iterator[CaseTable]:
        """What `table` gives, in parts of whole studies that have at most so many images, or are one study:
        study by study, each in the place of its first image. Each part is as the archive is when it comes.

        Raises `CatalogError` as `table` does.
        """
        from medsiglip.index.search.table_parts import table_parts

        return table_parts(self._database, self._current, level, where, images_at_once)

    def vectors(self, image_ids: Sequence[int]) -> NDArray[np.float32]:
        """Stored vectors, float32 [n, d] of unit length; raises `CatalogError` `unknown-image`."""
        ids = np.asarray(image_ids, np.int64)
        try:
            return self._current.settled(lambda: self._current.load().index.rows(ids))
        except KeyError as error:
            raise _unknown_image(error.args[0]) from None

    def study_sets(self, study_instance_uids: Sequence[str]) -> StoredSets:
        """The images of these studies, in order, to compare them; `CatalogError` `unknown-study`."""
        from medsiglip.index.search.study_sets import study_sets

        return study_sets(self._current, study_instance_uids)

    def sample_vectors(
        self, count: int, *, level: Level = "image", exclude_patient: str | None = None
    ) -> NDArray[np.float32]:
        """At most `count` vectors of a level, float32 [m, d], spread evenly over all but one patient's."""
        keys = [] if exclude_patient is None else [exclude_patient]
        with self._database.read() as connection:
            theirs = case_queries.images_of_patients(connection, keys)
        left_out = [image_id for image_ids in theirs.values() for image_id in image_ids]
        without = np.array(left_out, np.int64)
        return self._current.settled(lambda: self._current.load().sample(level, count, without))

    def image_sample(self, count: int, where: Sequence[str] = ()) -> ImageSample:
        """At most `count` images, spread evenly over all that pass the filters, with their vectors."""
        return image_sample(self._current, count, where)


def _unknown_image(image_id: int) -> CatalogError:
    return CatalogError("unknown-image", f"There is no image {image_id} in this index.")

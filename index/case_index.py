"""The index of a home: everything that the other packages ask of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection

from medsiglip.index.catalogue import labels, probes, reading, spaces
from medsiglip.index.catalogue.paths import HiddenPaths
from medsiglip.index.catalogue.report_texts import ReportTextStore
from medsiglip.index.catalogue.schema import files, images, instances
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import (
    CaseTable,
    Compaction,
    FileRecord,
    Hit,
    Holdings,
    IndexInfo,
    InstanceRecord,
    LabelOutcome,
    LabelRecord,
    LabelSummary,
    Level,
    Owner,
    ProbeRecord,
    Removal,
    SeriesBundle,
    StoredImage,
    StudyDetail,
    StudySummary,
    Verification,
)
from medsiglip.index.search.faiss_index import discard_snapshot
from medsiglip.index.search.home import OpenHome
from medsiglip.index.search.search import allowed_images, ranking
from medsiglip.index.search.shard_vectors import ShardVectors
from medsiglip.index.service.api_keys import ApiKeys
from medsiglip.index.service.audit_log import AuditLog
from medsiglip.index.service.drafts import DraftStore
from medsiglip.index.service.jobs import JobQueue
from medsiglip.index.service.routing_rules import RouteStore
from medsiglip.index.storage import crash_recovery, deletion, trash
from medsiglip.index.storage.compaction import compact
from medsiglip.index.storage.shards import writing
from medsiglip.index.storage.writing import add_cases, write_files

# So many studies are read from their shards, where the search structures are not loaded yet.
_FEW_STUDIES = 1000


class CaseIndex(OpenHome):
    """Cases of one home: SQL says what exists, shards hold the vectors, FAISS is derived from them.

    Safe for several threads and several processes. Every method may raise `CatalogError` with `disk-full`,
    `read-only-home`, `catalog-busy`, `catalog-corrupt` or `database-unreachable`.
    """

    # Beside the cases: the stores of the service

    @cached_property
    def jobs(self) -> JobQueue:
        """Long work of the service."""
        return JobQueue(self._database)

    @cached_property
    def api_keys(self) -> ApiKeys:
        """Who may ask over HTTP."""
        return ApiKeys(self._database)

    @cached_property
    def audit(self) -> AuditLog:
        """Who did what to which study."""
        return AuditLog(self._database)

    @cached_property
    def routes(self) -> RouteStore:
        """Which cases go to a generator, and which went."""
        return RouteStore(self._database)

    @cached_property
    def drafts(self) -> DraftStore:
        """Draft reports, and what became of them."""
        return DraftStore(self._database)

    @cached_property
    def report_texts(self) -> ReportTextStore:
        """The report texts of cases."""
        return ReportTextStore(self._database)

    # The key of the pseudonyms, and what goes in

    @property
    def key_fingerprint(self) -> str | None:
        """The fingerprint of the key that the home is tied to, or None before the first `bind_key`."""
        with self._database.read() as connection:
            return spaces.key_fingerprint(connection)

    @property
    def phi(self) -> str | None:
        """How much of a person's data the home keeps, or None before the first `bind_key`."""
        with self._database.read() as connection:
            return spaces.phi(connection)

    def bind_key(self, fingerprint: str, phi: str | None = None) -> None:
        """Tie the home to the key of its pseudonyms, and to how much it keeps of a person (None: as it does,
        at first `pseudonymous`); raises `CatalogError` `key-mismatch` or `phi-mismatch` for another.
        """
        bound, kept = self.key_fingerprint, self.phi
        if bound is None:
            with self._database.write() as connection:
                bound, kept = spaces.bind_key(connection, fingerprint, phi or "pseudonymous")
        if bound != fingerprint:
            raise CatalogError(
                "key-mismatch",
                f"The secret key is not the one that {self.home} was made with, so one patient would get "
                "two keys; put the original secret.key back, or choose another --home and ingest again.",
            )
        if phi is not None and phi != kept:
            raise CatalogError(
                "phi-mismatch",
                f"{self.home} was made with --phi {kept}, and one home keeps the same of every patient; "
                f"go on without --phi {phi}, or choose another --home.",
            )

    def hide_paths(self, code: Callable[[str], str]) -> None:
        """Store, from now on, no path of a file but `code(path)`, a keyed hash, and look paths up by it.

        What is asked by path and answered with paths stays in terms of the paths that were asked about;
        of a file that was not, the answer has no path.
        """
        self._paths = HiddenPaths(code)

    def add(self, bundles: Sequence[SeriesBundle], vectors: NDArray[np.float32]) -> list[int]:
        """Add whole series in one transaction; the image id of each image, in the bundles' order.

        `vectors` is float32 [n, d] of unit length, one row for each image of the bundles, in order. What is
        in the index already, by (SOP Instance UID, pixel hash, frame, rendering), keeps its id and vector.
        Raises `CatalogError` `no-space` or `bad-vectors`.
        """
        active = self._needed()
        count = sum(len(bundle.images) for bundle in bundles)
        array = spaces.checked_vectors(vectors, count, active.space.dimension)
        with writing(self._database) as transaction:
            stored = [self._paths.bundle(bundle) for bundle in bundles]
            image_ids = add_cases(transaction, active.row_id, active.space.name, stored, array, self._dtype)
        if any(bundle.replace_series for bundle in bundles):
            deletion.sweep(self._database)
        return image_ids

    def record_files(self, records: Sequence[FileRecord]) -> None:
        """Note what became of files, in place of what was noted for the same paths."""
        with self._database.write() as connection:
            write_files(connection, self._paths.records(records))

    # What is there

    def known_files(self) -> Mapping[str, FileRecord]:
        """Every file on record, by path."""
        with self._database.read() as connection:
            return self._paths.known(reading.file_records(connection))

    def files_at(self, paths: Collection[str]) -> dict[str, FileRecord]:
        """What is on record of these files, by path."""
        stored = [self._paths.stored(path) for path in paths]
        with self._database.read() as connection:
            found = reading.file_records(connection, reading.at(stored))
        return {(path := self._paths.given(one.path)): replace(one, path=path) for one in found}

    def members_of(self, archive: str) -> list[FileRecord]:
        """What is on record of the files in an archive; nothing in a home that keeps no paths."""
        with self._database.read() as connection:
            return reading.members_of(connection, archive)

    def series_files(self, series_instance_uid: str) -> list[FileRecord]:
        """The files whose instances belong to a series, by path."""
        with self._database.read() as connection:
            found = reading.file_records(connection, series_instance_uid=series_instance_uid)
        return [replace(record, path=self._paths.given(record.path)) for record in found]

    def series_instances(self, study_instance_uid: str, series_instance_uid: str) -> set[tuple[str, str]]:
        """SOP Instance UID and pixel hash of every instance held of a series."""
        with self._database.read() as connection:
            return reading.series_instances(connection, study_instance_uid, series_instance_uid)

    def holdings(self, paths: Collection[str]) -> Holdings:
        """How many studies, series, instances and images of the active space the files at `paths` led to."""
        with self._database.read() as connection:
            return reading.holdings(connection, self._row_id(), [self._paths.stored(p) for p in paths])

    def owners(self, paths: Collection[str]) -> dict[str, Owner]:
        """Patient, study and modality of each of these files that is in the index, by path."""
        with self._database.read() as connection:
            found = reading.owners(connection, [self._paths.stored(path) for path in paths])
        return {self._paths.given(stored): owner for stored, owner in found.items()}

    def embedded_below(self, folder: str) -> set[str]:
        """The paths below a folder of files that are in the index; none in a home that keeps no paths."""
        with self._database.read() as connection:
            return reading.embedded_below(connection, folder)

    def patients_of(self, study_instance_uids: Collection[str]) -> dict[str, str]:
        """The patient's key of each of these studies that is in the index, by study UID."""
        with self._database.read() as connection:
            return reading.patients_of(connection, study_instance_uids)

    def instances_of(self, study_instance_uid: str) -> list[tuple[str, InstanceRecord]]:
        """The instances of a study, each with its Series Instance UID."""
        with self._database.read() as connection:
            return reading.instances_of_study(connection, study_instance_uid)

    def known_instances(self, sop_instance_uids: Collection[str]) -> dict[str, set[str]]:
        """Pixel hashes held of these instances, by SOP Instance UID."""
        with self._database.read() as connection:
            return reading.pixel_hashes(connection, sop_instance_uids)

    def has_instance(self, sop_instance_uid: str) -> set[str]:
        """Pixel hashes held for one SOP Instance UID."""
        with self._database.read() as connection:
            return reading.pixel_hashes(connection, [sop_instance_uid]).get(sop_instance_uid, set())

    def get(self, image_id: int) -> StoredImage:
        """One image; raises `CatalogError` `unknown-image`."""
        found = self._stored(images.c.id == image_id)
        if not found:
            raise CatalogError("unknown-image", f"There is no image {image_id} in this index.")
        return found[0]

    def find_image(self, sop_instance_uid: str, pixel_hash: str | None = None) -> list[StoredImage]:
        """The images of an instance, by frame; of all with that UID where no hash is given."""
        conditions = [instances.c.sop_instance_uid == sop_instance_uid]
        if pixel_hash is not None:
            conditions.append(instances.c.pixel_hash == pixel_hash)
        return self._stored(*conditions)

    def find_file(self, path: str) -> list[StoredImage]:
        """The images that an ingested file led to, by frame."""
        return self._stored(images.c.instance_id.in_(reading.instances_of_file(self._paths.stored(path))))

    def images_of(self, study_instance_uid: str) -> list[StoredImage]:
        """The images of a study in order; raises `CatalogError` `unknown-study`."""
        return list(self.study(study_instance_uid).images)

    def vectors(self, image_ids: Sequence[int]) -> NDArray[np.float32]:
        """Stored vectors, float32 [n, d] of unit length; raises `CatalogError` `unknown-image`."""
        with self._current() as loaded:
            try:
                return loaded.index.rows(np.asarray(image_ids, np.int64))
            except KeyError as error:
                raise CatalogError(
                    "unknown-image", f"There is no image {error.args[0]} in this index."
                ) from None

    def sample_vectors(
        self, count: int, *, level: Level = "image", exclude_patient: str | None = None
    ) -> NDArray[np.float32]:
        """At most `count` vectors of a level, float32 [m, d], spread evenly over all but one patient's."""
        active = self._needed()
        with self._current() as loaded:
            keys = [] if exclude_patient is None else [exclude_patient]
            with self._database.read() as connection:
                theirs = reading.images_of_patients(connection, active.row_id, keys)
            left_out = [image_id for image_ids in theirs.values() for image_id in image_ids]
            return loaded.sample(level, count, np.array(left_out, np.int64))

    def studies(self, where: Sequence[str] = ()) -> list[StudySummary]:
        """Studies by date, of which at least one image passes the filters."""
        with self._database.read() as connection:
            return reading.study_summaries(connection, self._row_id(), where)

    def study(self, study_instance_uid: str) -> StudyDetail:
        """One study with all below it; raises `CatalogError` `unknown-study`."""
        with self._database.read() as connection:
            return reading.study_detail(connection, self._row_id(), study_instance_uid)

    def info(self) -> IndexInfo:
        """Counts of the home and of the active space."""
        from medsiglip.index.search.check import info

        active = self._find_active()
        with self._database.read() as connection:
            if active is None:
                return info(connection, None, None)
        with self._current() as loaded, self._database.read() as connection:
            return info(connection, active, loaded)

    # Searching

    def search(
        self,
        queries: NDArray[np.float32],
        *,
        k: int = 10,
        level: Level = "image",
        where: Sequence[str] = (),
        exclude_patients: Sequence[str | None] = (),
    ) -> list[list[Hit]]:
        """The k best of a level for each query, exactly, best first, equal scores by the lower id.

        `queries` is float32 [q, d]; `exclude_patients`, if given, has one patient key or None for each.
        `where` chooses among images: a series or study answers when one of its images passes, and shows the
        best of those. Raises `CatalogError` `bad-query`, `bad-filter`, `no-space`, `missing-shard` or
        `corrupt-shard`.
        """
        with self._current() as loaded:
            ranked = ranking(
                self._database, self._needed(), loaded, queries, k, level, where, list(exclude_patients)
            )
        with self._database.read() as connection:
            return reading.hits(connection, level, ranked)

    def table(
        self,
        level: Level = "image",
        where: Sequence[str] = (),
        *,
        among: Sequence[str] | None = None,
        given_labels: Sequence[LabelRecord] | None = None,
    ) -> CaseTable:
        """Every image, series or study that passes the filters, as columns with vectors and labels.

        Of the studies `among` which to look, by UID, if any are named: few of them are read from their shards
        without loading the others. `given_labels` are taken instead of the stored ones, by the same rules; a
        key that is not in the index gives nothing. Raises `CatalogError` `bad-filter`, `bad-label`,
        `no-space`.
        """
        from medsiglip.index.search.table import table

        active = self._needed()
        if among is not None and len(among) <= _FEW_STUDIES and self._loaded is None:
            with self._database.read() as connection:
                source = ShardVectors(connection, self.home, active)
                few = np.array(reading.image_ids(connection, active.row_id, where, among), np.int64)
                return table(connection, source, level, few, given_labels)
        with self._current() as loaded, self._database.read() as connection:
            allowed = allowed_images(connection, active.row_id, where, among)
            chosen = loaded.index.ids if allowed is None else allowed[np.isin(allowed, loaded.index.ids)]
            return table(connection, loaded, level, chosen, given_labels)

    def condition_values(self, expression: str, study_instance_uids: Sequence[str]) -> dict[str, list[Any]]:
        """What images of these studies have of the field, label or quality that a filter names, by study UID,
        each value once. Raises `CatalogError` `bad-filter`.
        """
        with self._database.read() as connection:
            return reading.condition_values(connection, self._row_id(), expression, study_instance_uids)

    def passing(self, where: Sequence[str], among: Sequence[str]) -> set[str]:
        """Those of the studies `among`, by UID, of which one image passes the filters. Raises `CatalogError`
        `bad-filter`.
        """
        with self._database.read() as connection:
            return reading.passing_studies(connection, self._row_id(), where, among)

    def check_filters(self, where: Sequence[str]) -> None:
        """Raise `CatalogError` `bad-filter` as a search with these filters would."""
        with self._database.read() as connection:
            reading.parsed(connection, where)

    # Labels and probes

    def set_labels(self, records: Sequence[LabelRecord]) -> LabelOutcome:
        """Give labels to cases in the index, all or none; raises `CatalogError` `bad-label`."""
        with self._database.write() as connection:
            outcome = labels.set_labels(connection, [self._paths.label(record) for record in records])
        unmatched = (replace(record, key=self._paths.given(record.key)) for record in outcome.unmatched)
        return replace(outcome, unmatched=tuple(unmatched))

    def labels(self) -> list[LabelSummary]:
        """What labels there are, by name and level."""
        with self._database.read() as connection:
            return labels.summaries(connection)

    def record_probe(self, probe: ProbeRecord, token: str | None = None) -> None:
        """Note a trained probe of the active space, in place of one with the same name, whose file goes;
        `token` is what `announce` gave for the probe's own file.
        """
        with writing(self._database) as transaction:
            probes.record(transaction, probe)
            if token is not None:
                crash_recovery.finish(transaction.connection, token)
        deletion.sweep(self._database)

    def remove_probe(self, name: str) -> bool:
        """Take a probe and its file out; whether there was one."""
        with writing(self._database) as transaction:
            removed = probes.remove(transaction, name)
        deletion.sweep(self._database)
        return removed

    def probes(self) -> list[ProbeRecord]:
        """The probes on record, by name."""
        with self._database.read() as connection:
            return probes.listed(connection)

    # Care

    def clean_up(self) -> None:
        """Delete the files that the catalogue has given up and a killed process could not delete any more,
        move to the trash what interrupted writes left behind, and delete what has been there for a week; have
        the database know how large its tables are.

        Whatever writes to a home calls this now and then; opening one does not.
        """
        deletion.sweep(self._database)
        crash_recovery.collect(self._database)
        trash.empty(self.home)
        self._database.analyze()

    def discard(self, paths: Sequence[Path]) -> None:
        """Move files or folders of the home to its trash, where they lie for a week."""
        trash.move(self.home, paths, trash.UNFINISHED)

    def announce(self, pattern: str) -> str:
        """Log that files are about to be written, by a glob relative to the home in which `{token}` stands
        for the token that this answers; the row that will name them takes the token.
        """
        return crash_recovery.announce(self._database, pattern)

    def verify(self) -> Verification:
        """Compare SQL, shards and FAISS with each other, reading all of them."""
        from medsiglip.index.search.check import verify

        with self._lock:
            return verify(self._database, self._find_active(), self._load)

    def check_recall(self, queries: int = 4, k: int = 10) -> float:
        """Mean part of the exact k nearest that the search finds, asked with stored vectors: 1 if it is
        exact, and for an index that holds nothing. Searches wait meanwhile.
        """
        from medsiglip.index.search.recall import recall_at

        if self.space is None:
            return 1.0
        with self._current() as loaded:
            sample = loaded.sample("image", queries, np.empty(0, np.int64)) if len(loaded.index) else None
            return 1.0 if sample is None else recall_at(loaded.index, np.array(sample[:queries]), k)

    def rebuild(self) -> IndexInfo:
        """Make FAISS anew from the shards, and its snapshot."""
        active = self._needed()
        with self._lock:
            discard_snapshot(self._snapshots, active.space.name)
            self._loaded = None
            with self._current() as loaded:
                loaded.save()
        return self.info()

    def compact(self) -> Compaction:
        """Merge small shards, and clean up."""
        done = compact(self._database)
        self.clean_up()
        return done

    def remove_study(self, study_instance_uid: str) -> Removal:
        """Delete a study and all that was made from it; raises `CatalogError` `unknown-study`.

        What is known of files goes with it: of those that were ingested, of those refused whose header
        named the study or one of its instances, and, as their paths may name the patient, of those refused
        beside them whose header named nobody.
        """
        found = partial(deletion.study_ids_of, study_instance_uid=study_instance_uid)
        removal = self._remove(found, files.c.study_instance_uid == study_instance_uid)
        if removal is None:
            raise reading.unknown_study(study_instance_uid)
        return removal

    def remove_patient(self, patient_key: str) -> Removal:
        """Delete all of a patient, as `remove_study` does; raises `CatalogError` `unknown-patient`."""
        found = partial(deletion.study_ids_of_patient, patient_key=patient_key)
        removal = self._remove(found, files.c.patient_key == patient_key)
        if removal is None:
            raise CatalogError(
                "unknown-patient",
                f"There is no patient {patient_key} in this index; `study list` shows the keys.",
            )
        return removal

    def _remove(self, find: Callable[[Connection], list[int]], theirs: ColumnElement[bool]) -> Removal | None:
        """Delete studies and the refused files that are `theirs`; None where there was nothing. What an
        earlier deletion could not finish is finished in any case, and remainders of interrupted writes do
        not wait in the trash: they may hold the same patient's vectors.
        """
        with writing(self._database) as transaction:
            found = find(transaction.connection)
            removal = deletion.remove_studies(transaction, found, theirs)
        deletion.sweep(self._database)
        trash.empty(self.home, trash.UNFINISHED)
        return removal if found or removal.files else None

    def export(self, folder: Path) -> int:
        """Write `images.parquet`, a row for each image of the active space; their number."""
        from medsiglip.index.search.export import export

        return export(self._database, self._needed(), Path(folder).expanduser().absolute())

    def _stored(self, *conditions: object) -> list[StoredImage]:
        with self._database.read() as connection:
            return reading.stored_images(connection, images.c.space_id == self._row_id(), *conditions)

"""The stores of a home's index: labels, drafts, jobs and others, each with methods of its own; and the key of
its pseudonyms."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from medsiglip.index.browsing.case_browser import CaseBrowser
from medsiglip.index.browsing.collections import CollectionStore
from medsiglip.index.browsing.point_values import PointValues
from medsiglip.index.catalogue import spaces
from medsiglip.index.catalogue.case_queries import InstanceStore
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.filter_queries import FilterQueries
from medsiglip.index.catalogue.health import CatalogueHealth
from medsiglip.index.catalogue.hierarchy.hierarchy_store import HierarchyStore
from medsiglip.index.catalogue.paths import StoredPaths
from medsiglip.index.catalogue.pixel_hashes import PixelHashStore
from medsiglip.index.catalogue.readers.label_store import LabelStore
from medsiglip.index.catalogue.readers.reader_queries import ReaderLabelStore
from medsiglip.index.catalogue.report_texts import ReportTextStore
from medsiglip.index.pacs.commitments import CommitmentStore
from medsiglip.index.pacs.connections import PacsConnectionStore
from medsiglip.index.pacs.deliveries import DeliveryStore
from medsiglip.index.pacs.forgotten_names import ForgottenNames
from medsiglip.index.pacs.kept_instances import KeptInstances
from medsiglip.index.pacs.study_ledger import StudyLedger
from medsiglip.index.pacs.sync_leases import SyncLeases
from medsiglip.index.records import Level
from medsiglip.index.search.current_space import CurrentSpace
from medsiglip.index.search.two_spaces import TwoSpaces
from medsiglip.index.service.announced_jobs import AnnouncedJobs
from medsiglip.index.service.announcements import AnnouncementStore
from medsiglip.index.service.api_keys import ApiKeys
from medsiglip.index.service.audit_log import AuditLog
from medsiglip.index.service.audit_positions import AuditPositions
from medsiglip.index.service.drafts import DraftStore
from medsiglip.index.service.jobs import JobQueue
from medsiglip.index.service.key_rotation import rotate_pseudonyms
from medsiglip.index.service.people import People
from medsiglip.index.service.received_batches import ReceivedBatches
from medsiglip.index.service.routing_rules import RoutingRuleStore
from medsiglip.index.service.sessions import SessionStore
from medsiglip.index.service.views import ViewStore
from medsiglip.index.storage.backgrounds import BackgroundStore
from medsiglip.index.storage.calibrations import CalibrationStore
from medsiglip.index.storage.file_records import FileRecordStore
from medsiglip.index.storage.map_store import MapStore
from medsiglip.index.storage.predictions import PredictionStore
from medsiglip.index.storage.probes import ProbeStore
from medsiglip.index.storage.reembedding import SpaceStore
from medsiglip.index.storage.thumbnails import ThumbnailStore

if TYPE_CHECKING:
    from medsiglip.index.search.neighbour_graph import NeighbourGraph


class CaseStores:
    """The stores of one catalogue, made when they are first used."""

    def __init__(self, database: Database, current: CurrentSpace) -> None:
        self._database = database
        self._current = current
        self._paths = StoredPaths()

    @cached_property
    def files(self) -> FileRecordStore:
        """What became of each file that an ingest found."""
        return FileRecordStore(self._database, self._paths)

    @cached_property
    def instances(self) -> InstanceStore:
        """Instances by UID and pixel hash."""
        return InstanceStore(self._database)

    @cached_property
    def thumbnails(self) -> ThumbnailStore:
        """Small pictures of images."""
        return ThumbnailStore(self._database)

    @cached_property
    def hierarchy(self) -> HierarchyStore:
        """Studies, series and instances as DICOM's query model has them."""
        return HierarchyStore(self._database, self._paths)

    @cached_property
    def pixel_hashes(self) -> PixelHashStore:
        """Pixel hashes of earlier versions."""
        return PixelHashStore(self._database)

    @cached_property
    def filters(self) -> FilterQueries:
        """Questions with filters, beside `search`, `table` and `studies`."""
        return FilterQueries(self._database)

    @cached_property
    def browser(self) -> CaseBrowser:
        """Pages of cases, and how many have each value."""
        return CaseBrowser(self._database)

    @cached_property
    def collections(self) -> CollectionStore:
        """Cases that people put together."""
        return CollectionStore(self._database)

    @cached_property
    def labels(self) -> LabelStore:
        """The labels of cases."""
        return LabelStore(self._database, self._paths)

    @cached_property
    def reader_labels(self) -> ReaderLabelStore:
        """What each reader said of the cases."""
        return ReaderLabelStore(self._database)

    @cached_property
    def probes(self) -> ProbeStore:
        """Trained probes."""
        return ProbeStore(self._database)

    @cached_property
    def predictions(self) -> PredictionStore:
        """What probes say of cases."""
        return PredictionStore(self._database)

    @cached_property
    def calibrations(self) -> CalibrationStore:
        """What gives scores a meaning."""
        return CalibrationStore(self._database)

    @cached_property
    def backgrounds(self) -> BackgroundStore:
        """What was measured of the archive's own scores."""
        return BackgroundStore(self._database)

    @cached_property
    def maps(self) -> MapStore:
        """Vectors laid out in a plane."""
        return MapStore(self._database)

    def neighbour_graph(
        self,
        level: Level,
        k: int,
        *,
        most: int = 100_000,
        least_others: int = 5,
        on_step: Callable[[int, int], object] = lambda _done, _of: None,
    ) -> NeighbourGraph:
        """The k nearest of each row of a level, exactly, for at most `most` rows spread evenly over all; see
        `medsiglip.index.search.neighbour_graph`. Raises `CatalogError` `no-space`.
        """
        from medsiglip.index.search.neighbour_graph import neighbour_graph

        return neighbour_graph(self._current, level, k, most, least_others, on_step)

    @cached_property
    def points(self) -> PointValues:
        """What the points of maps are coloured by."""
        return PointValues(self._database)

    @cached_property
    def spaces(self) -> SpaceStore:
        """The spaces, of which one is active."""
        return SpaceStore(self._database)

    @cached_property
    def two_spaces(self) -> TwoSpaces:
        """The same cases in two spaces."""
        return TwoSpaces(self._database)

    @cached_property
    def report_texts(self) -> ReportTextStore:
        """The report texts of cases."""
        return ReportTextStore(self._database)

    @cached_property
    def drafts(self) -> DraftStore:
        """Draft reports with their history."""
        return DraftStore(self._database)

    @cached_property
    def pacs_deliveries(self) -> DeliveryStore:
        """Documents of accepted drafts on their way to PACS."""
        return DeliveryStore(self._database)

    @cached_property
    def routing_rules(self) -> RoutingRuleStore:
        """The routing rules, and what they decided."""
        return RoutingRuleStore(self._database)

    @cached_property
    def kept_instances(self) -> KeptInstances:
        """Which instances are there as files."""
        return KeptInstances(self._database)

    @cached_property
    def received_batches(self) -> ReceivedBatches:
        """Ingests of files whose senders were told that they are stored."""
        return ReceivedBatches(self._database)

    @cached_property
    def jobs(self) -> JobQueue:
        """Long work of the service."""
        return JobQueue(self._database)

    @cached_property
    def announced_jobs(self) -> AnnouncedJobs:
        """Jobs for what is announced again and again."""
        return AnnouncedJobs(self._database)

    @cached_property
    def announcements(self) -> AnnouncementStore:
        """What a listener outside of the home is to be told."""
        return AnnouncementStore(self._database)

    @cached_property
    def api_keys(self) -> ApiKeys:
        """The keys of clients of the HTTP service."""
        return ApiKeys(self._database)

    @cached_property
    def audit_positions(self) -> AuditPositions:
        """How far the audit trail was brought elsewhere."""
        return AuditPositions(self._database)

    @cached_property
    def people(self) -> People:
        """People who sign in at an OpenID provider."""
        return People(self._database)

    @cached_property
    def sessions(self) -> SessionStore:
        """Sessions of browsers, each of a key."""
        return SessionStore(self._database)

    @cached_property
    def views(self) -> ViewStore:
        """What people keep of the screen's addresses."""
        return ViewStore(self._database)

    @cached_property
    def pacs_connections(self) -> PacsConnectionStore:
        """How PACS are reached, and how they do."""
        return PacsConnectionStore(self._database)

    @cached_property
    def pacs_studies(self) -> StudyLedger:
        """The studies of PACS that were asked for, and where studies came from."""
        return StudyLedger(self._database)

    @cached_property
    def forgotten_names(self) -> ForgottenNames:
        """The ledgers of PACS, as what is forgotten needs them."""
        return ForgottenNames(self._database)

    @cached_property
    def storage_commitments(self) -> CommitmentStore:
        """Requests for storage commitment that were not answered."""
        return CommitmentStore(self._database)

    @cached_property
    def sync_leases(self) -> SyncLeases:
        """Which process syncs a PACS, and how far it has come."""
        return SyncLeases(self._database)

    @cached_property
    def audit(self) -> AuditLog:
        """Who did what to which study."""
        return AuditLog(self._database)

    @cached_property
    def health(self) -> CatalogueHealth:
        """Whether the catalogue can be written, and how its database does."""
        return CatalogueHealth(self._database)

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
        """Tie the home to the key of its pseudonyms, and to how much it keeps of a person (None: as before,
        at first `pseudonymous`); raises `CatalogError` `key-mismatch` or `phi-mismatch` for another.
        """
        spaces.bind_key(self._database, fingerprint, phi)

    def rotate_pseudonyms(
        self,
        fingerprints: tuple[str, str],
        later_key: Callable[[str], str],
        later_mark: Callable[[str], str],
        before: Callable[[], object] = lambda: None,
    ) -> dict[str, int]:
        """Replace all patient keys; see `medsiglip.index.service.key_rotation`."""
        return rotate_pseudonyms(self._database, fingerprints, later_key, later_mark, before)

"""Prometheus metrics of one application: its own counts, and those of the archive, read at each scrape."""

from __future__ import annotations

import platform
import shutil
from collections import Counter as Tally
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from medsiglip.api.archive.single_flight import SingleFlight
from medsiglip.api.jobs.heartbeat import heartbeats

if TYPE_CHECKING:
    from medsiglip.answers.service import WorkerState
    from medsiglip.api.archive.archive import Archive
    from medsiglip.api.encoder.shared_encoder import EncoderStatistics

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"))
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BATCH_SIZES = tuple(1 << power for power in range(11))
COUNTS_SECONDS = 15.0
RECALL_SECONDS = 3600.0
ENGINE_SECONDS = 2.0


class Metrics:
    """The registry of one application; safe for several threads."""

    def __init__(self, archive: Archive) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "medsiglip_http_requests",
            "Requests answered; status is `none` where the client left first.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "medsiglip_http_request_seconds",
            "Time from a request to the end of its answer.",
            ("method", "route"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._uploads = Counter(
            "medsiglip_uploads", "Uploads, by outcome.", ("outcome",), registry=self.registry
        )
        self._upload_bytes = Counter(
            "medsiglip_upload_bytes", "Bytes of uploads that were taken.", registry=self.registry
        )
        ProcessCollector(registry=self.registry)
        self.registry.register(ArchiveCollector(archive))

    def count_request(self, method: str, route: str, status: int | None, seconds: float) -> None:
        """Count a request. `route` is a template, so that clients cannot create series."""
        method = method if method in _METHODS else "other"
        self._requests.labels(method, route, "none" if status is None else str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def count_upload(self, outcome: str, size: int = 0) -> None:
        """Count an upload: `taken`, or the code of the error that ended it; `size` in bytes."""
        self._uploads.labels(outcome).inc()
        self._upload_bytes.inc(size)


class ArchiveCollector:
    """Encoder, index, jobs and audit trail. Counts are at most `COUNTS_SECONDS` old, the recall check
    `RECALL_SECONDS`.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._counts = SingleFlight(self._count, COUNTS_SECONDS)
        self._engine_answers = SingleFlight(lambda: archive.index.engine_answers(), COUNTS_SECONDS)
        self._recall = SingleFlight(lambda: archive.index.check_recall(), RECALL_SECONDS)

    def describe(self) -> Iterator[Metric]:
        """Nothing: registration must not query the archive."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The metric families. A scrape succeeds even if the archive fails: `medsiglip_archive_up` says
        so.
        """
        yield _build()
        yield from self._encoder()
        yield from self._machine()
        found = self._counts.get(wait_seconds=5.0)
        yield _gauge(
            "medsiglip_archive_up", "Whether the archive could be counted.", float(found is not None)
        )
        if found is not None:
            yield from found
        # One that hangs counts as away, and keeps no scrape waiting.
        is_up = self._engine_answers.get(wait_seconds=ENGINE_SECONDS) is True
        yield _gauge("medsiglip_vector_engine_up", "Whether the vector engine answers; 1 without one.", is_up)
        recall = self._recall.get(wait_seconds=0.0)
        if recall is not None:
            yield _gauge(
                "medsiglip_index_recall", "Part of the exact 10 nearest that a search finds.", recall
            )

    def _machine(self) -> Iterator[Metric]:
        """What needs no answer of the database."""
        with suppress(OSError):
            free = shutil.disk_usage(self._archive.home).free
            yield _gauge("medsiglip_disk_free_bytes", "Free disk in the home.", free)
        least = self._archive.settings.min_free_bytes
        yield _gauge("medsiglip_disk_free_limit_bytes", "Below it the service is not ready.", least)
        used, limit = self._archive.index.health.connections()
        yield _gauge("medsiglip_database_connections", "Connections to the database in use.", used)
        yield _gauge("medsiglip_database_connections_limit", "How many there may be.", limit)
        yield from _workers(heartbeats(self._archive.home))

    def _count(self) -> list[Metric]:
        index = self._archive.index
        seconds = index.health.seconds()
        info = index.info(asks_engine=False)
        jobs = GaugeMetricFamily("medsiglip_jobs", "Jobs by kind and status.", labels=("kind", "status"))
        for (kind, status), count in index.jobs.counts().items():
            jobs.add_metric((kind, status), count)
        oldest = GaugeMetricFamily(
            "medsiglip_jobs_oldest_seconds",
            "How long the oldest queued job has waited, and the longest running one has run.",
            labels=("status",),
        )
        for status, age in index.jobs.oldest().items():
            oldest.add_metric((status,), age)
        return [
            _gauge("medsiglip_database_seconds", "Time of the smallest question to the database.", seconds),
            oldest,
            _gauge("medsiglip_index_studies", "Studies in the archive.", info.studies),
            _gauge("medsiglip_index_images", "Images in the active space.", info.images),
            _gauge("medsiglip_index_vectors", "Vectors that the search index holds.", info.faiss.ntotal),
            _gauge("medsiglip_index_shards", "Vector files of the active space.", info.shards),
            _gauge(
                "medsiglip_vector_changes_waiting",
                "Changes that the vector engine has not been told of.",
                0 if info.engine is None else info.engine.waiting,
            ),
            jobs,
            _counter("medsiglip_audit_events", "Events in the audit trail.", index.audit.head()[0]),
        ]

    def _encoder(self) -> Iterator[Metric]:
        encoder = self._archive.shared_encoder
        if encoder is None:
            return
        statistics = encoder.statistics()
        ready = float(statistics.state.name == "ready")
        yield _gauge("medsiglip_encoder_ready", "Whether the model is there.", ready)
        yield _counter(
            "medsiglip_encoder_restarts", "Starts of the model's process again.", statistics.restarts
        )
        yield _gauge(
            "medsiglip_encoder_waiting", "Images and texts waiting or being encoded.", statistics.waiting
        )
        yield _gauge("medsiglip_encoder_waiting_limit", "How many may wait.", statistics.waiting_limit)
        yield _counter(
            "medsiglip_encoder_refused", "Calls refused because too much waited.", statistics.refused
        )
        yield _counter("medsiglip_encoder_failed", "Items that could not be encoded.", statistics.failed)
        yield _counter("medsiglip_encoder_busy_seconds", "Time that the device worked.", statistics.seconds)
        yield _batches(statistics)
        if statistics.gpu_memory is not None:
            yield _gauge(
                "medsiglip_gpu_memory_bytes", "GPU memory of the model's process.", statistics.gpu_memory
            )


def _build() -> Metric:
    """Always 1; the labels say which code runs."""
    family = GaugeMetricFamily("medsiglip_build_info", "The code that runs.", labels=("version", "python"))
    family.add_metric((version("medsiglip"), platform.python_version()), 1.0)
    return family


def _workers(workers: Sequence[WorkerState]) -> Iterator[Metric]:
    """Workers by what they do, and the age of each heartbeat."""
    states = GaugeMetricFamily(
        "medsiglip_workers", "Workers by state; `late` for one without a heartbeat.", labels=("state",)
    )
    counts = Tally(one.state if one.ok else "late" for one in workers)
    for state in ("idle", "working", "waiting", "late"):
        states.add_metric((state,), counts[state] + (counts["starting"] if state == "idle" else 0))
    yield states
    ages = GaugeMetricFamily(
        "medsiglip_worker_heartbeat_seconds", "Time since a worker's heartbeat.", labels=("worker",)
    )
    for one in workers:
        ages.add_metric((one.worker,), one.beat_seconds_ago)
    yield ages


def _batches(statistics: EncoderStatistics) -> Metric:
    """Sizes of batches as a histogram, by kind."""
    family = HistogramMetricFamily("medsiglip_encoder_batch_size", "Items of a batch.", labels=("kind",))
    for kind, sizes in statistics.batches.items():
        buckets = [
            (str(float(bound)), float(sum(count for size, count in sizes.items() if size <= bound)))
            for bound in _BATCH_SIZES
        ]
        buckets.append(("+Inf", float(sum(sizes.values()))))
        family.add_metric((kind,), buckets, float(sum(size * count for size, count in sizes.items())))
    return family


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value=value)


def _counter(name: str, meaning: str, value: float) -> Metric:
    return CounterMetricFamily(name, meaning, value=value)

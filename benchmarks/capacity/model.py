"""What a number of images takes of disk, memory and time: arithmetic on rates, without any measurement.

Time is by the bounds of operational analysis (Denning and Buzen, "The Operational Analysis of Queueing
Network Models", 1978, the utilisation law): what a resource has to do for one image, divided by how many
of it there are, bounds the throughput of all; the largest is the bottleneck.
"""

from collections.abc import Mapping
from dataclasses import dataclass

MODEL_DIMENSION = 1152
HNSW_LINKS = 16
# Two lists of M links of four bytes at the lowest level (Malkov and Yashunin 2018, section 4.2.3).
_LINK_BYTES = 4 * 2 * HNSW_LINKS
# Binary codes with two floats beside each (Gao and Long, RaBitQ, 2024): a bit a value.
_RABITQ_BESIDE = 8


@dataclass(frozen=True)
class Rates:
    """What was measured. Times are seconds of one core or one device for one image, sizes bytes."""

    scan_s: float
    render_s: float
    encode_core_s: float
    encode_gpu_s: float
    insert_s: float
    """Of the one database that all machines share."""
    shard_bytes_per_s: float
    """Of one machine's disk, written and synced."""
    catalogue_bytes: float
    snapshot_bytes: float
    """Of the search index on the disk, for one image."""
    search_ms_per_million: float
    """Of one exact search; it grows with the images."""


@dataclass(frozen=True)
class Fleet:
    """Machines of one kind."""

    nodes: int
    cores: int
    gpus: int = 0


@dataclass(frozen=True)
class Storage:
    """Bytes for a number of images. Those of memory are for each server or engine that holds all of them."""

    vectors: float
    catalogue: float
    snapshot: float
    hnsw_memory: float
    rabitq_memory: float


def storage(images: int, rates: Rates, dimension: int = MODEL_DIMENSION) -> Storage:
    """Bytes of vectors (float32), catalogue and search index, and of memory for the usual graph and codes."""
    return Storage(
        vectors=images * dimension * 4.0,
        catalogue=images * rates.catalogue_bytes,
        snapshot=images * rates.snapshot_bytes,
        hnsw_memory=images * (dimension * 4.0 + _LINK_BYTES),
        rabitq_memory=images * (dimension / 8 + _RABITQ_BESIDE),
    )


def stage_hours(
    images: int, fleet: Fleet, rates: Rates, dimension: int = MODEL_DIMENSION
) -> Mapping[str, float]:
    """Hours that each resource of the fleet needs for a first ingest, by its name. Without GPUs the encoder
    runs on the cores, too.
    """
    cores, gpus = fleet.nodes * fleet.cores, fleet.nodes * fleet.gpus
    on_cores = rates.scan_s + rates.render_s + (0.0 if gpus else rates.encode_core_s)
    seconds = {
        "cores": images * on_cores / cores,
        "database": images * rates.insert_s,
        "disks": images * dimension * 4.0 / rates.shard_bytes_per_s / fleet.nodes,
    }
    if gpus:
        seconds["GPUs"] = images * rates.encode_gpu_s / gpus
    return {name: value / 3600 for name, value in seconds.items()}


def bottleneck(hours: Mapping[str, float]) -> tuple[str, float]:
    """The resource that is busy longest, and its hours, which are those of the ingest at best."""
    name = max(hours, key=lambda one: hours[one])
    return name, hours[name]


def nodes_for(
    images: int, within_hours: float, node: Fleet, rates: Rates, dimension: int = MODEL_DIMENSION
) -> int | None:
    """How many such nodes end a first ingest within so many hours; None if no number does, since the database
    is one.
    """
    hours = stage_hours(images, Fleet(1, node.cores, node.gpus), rates, dimension)
    if hours["database"] > within_hours:
        return None
    shared = max(value for name, value in hours.items() if name != "database")
    return max(1, -int(-shared // within_hours))


@dataclass(frozen=True)
class IngestDemands:
    """Of one ingest on one machine: seconds of a core for one image in a worker, and in the process that
    scans, encodes and commits; and seconds until the first worker works.
    """

    start_s: float
    worker_s: float
    parent_s: float


def ingest_seconds(images: int, workers: int, cores: int, demands: IngestDemands) -> float:
    """Seconds of an ingest with so many workers: bounded by the parent, the workers, and the cores that they
    share.
    """
    busiest = max(
        demands.parent_s,
        demands.worker_s / workers,
        (demands.parent_s + demands.worker_s) / cores,
    )
    return demands.start_s + images * busiest

"""Whether a device computes as the proofs rely on, tried on the rows that were just moved to it."""

from __future__ import annotations

import numpy as np

from medsiglip.index.search.kinds.gpu.device import DeviceError
from medsiglip.index.search.kinds.gpu.device_rows import DeviceRows
from medsiglip.index.search.kinds.gpu.device_search import Host
from medsiglip.index.search.kinds.gpu.half_bounds import half
from medsiglip.index.search.kinds.gpu.placement import Placement
from medsiglip.index.search.kinds.gpu.tuned_probes import trial_queries
from medsiglip.index.vectors import Ids

_K, _QUERIES = 10, 16


def check_scores(rows: DeviceRows, host: Host, stamps: Ids) -> None:
    """Compare scores of the device, and what it finds, with those of the host.

    Raises `DeviceError` for a score that is further off than its bound, and for a row that is missing.
    """
    trials = trial_queries(host)
    queries = trials[:: len(trials) // _QUERIES or 1]
    asked = half(queries)
    slack = rows.rounding.slack(queries, asked)[:, None]
    k = min(_K, len(host.ids))
    rough, slots = rows.owner.search(rows, asked, k)
    places = Placement.of(stamps, rows.stamps).places(slots)
    name = rows.owner.device.name
    if (places < 0).any():
        raise DeviceError(f"{name} finds slots that hold no row")
    found = host.rows(host.ids[places.ravel()]).reshape(*places.shape, -1)
    exact = np.einsum("qkd,qd->qk", found.astype(np.float64), queries.astype(np.float64))
    off = np.abs(rough - exact)
    if not (off <= slack).all():
        raise DeviceError(
            f"scores of {name} are off by up to {np.max(off):.1e}, where proofs rely on {np.max(slack):.1e} "
            "at most"
        )
    best = host.search(queries, k)
    known = (host.ids[places][:, None] == best.ids[:, :, None]).any(axis=2)
    if (~known & (best.scores > rough[:, -1:] + slack)).any():
        raise DeviceError(f"{name} does not find rows that are among the nearest")

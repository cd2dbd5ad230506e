"""Which kind on a GPU suits a number of vectors, and whether a GPU is there at all."""

from __future__ import annotations

from collections.abc import Mapping

from medsiglip.index.search.kinds.gpu.device import SearchDevice, find_device
from medsiglip.index.search.kinds.gpu.gpu_index import LEAST
from medsiglip.index.search.kinds.gpu.recipes import FLAT, IVF_FLAT, IVF_PQ, Recipe

GPU_RECIPES: Mapping[str, Recipe] = {f"gpu-{one.name}": one for one in (FLAT, IVF_FLAT, IVF_PQ)}
"""The kinds by name."""
# Exact ones first. `gpu-ivf-flat` takes more memory than `gpu-flat`, and never fits where that does not.
_AUTOMATIC = ("gpu-flat", "gpu-ivf-pq")


def gpu_kind(rows: int, dimension: int) -> tuple[str, str] | None:
    """The name of the kind for so many vectors, and why in words; None where the processor is to do it."""
    device, _ = find_device()
    return None if device is None else fitting_kind(device, rows, dimension)


def fitting_kind(device: SearchDevice, rows: int, dimension: int) -> tuple[str, str] | None:
    """As `gpu_kind`, on a device. Whether so much is free is seen when the vectors move there."""
    memory = device.capacity()
    for name in _AUTOMATIC if rows >= LEAST else ():
        need = GPU_RECIPES[name].need(rows, dimension)
        if need.fits(memory):
            return name, f"{need.what} fit on {device.name}"
    return None


def gpu_status() -> dict[str, str | None]:
    """The `device` that a search index can use, and the `reason` if that is the processor; for `doctor`."""
    device, reason = find_device()
    return {"device": "cpu" if device is None else device.name, "reason": reason or None}

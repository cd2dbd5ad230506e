"""The memory of a GPU, what an index takes of it, and whether that fits, before anything is moved."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

RESERVE = 1 << 30
"""Bytes of a device that are left to others, such as an encoder that begins later."""
_GIB = float(1 << 30)


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Bytes of a device."""

    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Need:
    """What an index takes of a device, in bytes: `vectors` for as long as it is used, `moving` beside them
    while they are moved, `temporary` for FAISS's work. `what` says in words what it holds.
    """

    what: str
    vectors: int
    moving: int
    temporary: int
    reserve: int = RESERVE

    @property
    def total(self) -> int:
        """All together."""
        return self.vectors + self.moving + self.temporary + self.reserve

    def fits(self, memory: DeviceMemory | None) -> bool:
        """Whether so much is free; True where that is unknown, since FAISS then says when it is not."""
        return memory is None or self.total <= memory.free

    def message(self, device: str, memory: DeviceMemory) -> str:
        """Why it does not fit, with figures."""
        return (
            f"{self.what} need {_gib(self.total)} on {device} (vectors {_gib(self.vectors)}, while they are "
            f"moved {_gib(self.moving)}, temporary {_gib(self.temporary)}, reserve {_gib(self.reserve)}), of "
            f"which {_gib(memory.free)} of {_gib(memory.total)} are free"
        )


def cuda_memory(number: int, library: str = "libcuda.so.1") -> DeviceMemory | None:
    """Free and total memory of a GPU, by the CUDA driver, or None where it does not say.

    The driver counts GPUs as FAISS does, by CUDA_VISIBLE_DEVICES; nvidia-smi's library does not.
    """
    with suppress(OSError, AttributeError):
        return driver_memory(ctypes.CDLL(library), number)
    return None


def cuda_capacity(number: int, library: str = "libcuda.so.1") -> DeviceMemory | None:
    """As `cuda_memory`, as if all were free. It opens no context, which takes memory and part of a second."""
    with suppress(OSError, AttributeError):
        return driver_capacity(ctypes.CDLL(library), number)
    return None


def driver_capacity(driver: Any, number: int) -> DeviceMemory | None:
    """As `cuda_capacity`, by a library with the functions of the CUDA driver."""
    device, total = ctypes.c_int(), ctypes.c_size_t()
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), number):
        return None
    if driver.cuDeviceTotalMem_v2(ctypes.byref(total), device):
        return None
    return DeviceMemory(total.value, total.value)


def driver_memory(driver: Any, number: int) -> DeviceMemory | None:
    """As `cuda_memory`, by a library with the functions of the CUDA driver."""
    device, context, former = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), number):
        return None
    # The primary context is the one that FAISS uses; asking for it counts a user more, not a second context.
    if driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device):
        return None
    try:
        if driver.cuCtxPushCurrent_v2(context):
            return None
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        failed = driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
        driver.cuCtxPopCurrent_v2(ctypes.byref(former))
        return None if failed else DeviceMemory(free.value, total.value)
    finally:
        driver.cuDevicePrimaryCtxRelease_v2(device)


def _gib(count: int) -> str:
    return f"{count / _GIB:.2f} GiB"

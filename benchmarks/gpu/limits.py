"""What a machine can do at most, on its GPU or its processor: large products of matrices, large copies."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Machine:
    """`device` of torch; `large` for full sizes, which a GPU alone does in a minute."""

    device: torch.device
    large: bool

    def finish(self) -> None:
        """Wait until the device has done all that it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


@dataclass(frozen=True, slots=True)
class Limit:
    """`run` does some work at the device's limit; `scale` is the work asked for ÷ that which `run` does."""

    run: Callable[[], None]
    scale: float

    def seconds(self) -> float:
        """How long the work that was asked for takes at the limit, measured now."""
        begun = time.perf_counter()
        self.run()
        return (time.perf_counter() - begun) * self.scale


def products(machine: Machine, operations: float, dtype: torch.dtype) -> Limit:
    """As many operations in products of square matrices; of a machine that is not large, in one product."""
    size = 8192 if machine.large else 512
    one = 2.0 * size**3
    count = max(1, round(operations / one))
    left, right = (torch.randn(size, size, device=machine.device).to(dtype) for _ in range(2))
    out = torch.empty(size, size, device=machine.device, dtype=dtype)

    def run() -> None:
        for _ in range(count):
            torch.mm(left, right, out=out)
        machine.finish()

    return Limit(run, operations / (count * one))


def copies(machine: Machine, read: float) -> Limit:
    """The time of reading so many bytes: a copy reads and writes, and the rate of a memory counts both."""
    size = (1 << 30) if machine.large else (1 << 22)
    source = torch.zeros(size, dtype=torch.uint8, device=machine.device)
    target = torch.empty_like(source)
    count = max(1, round(read / (2 * size)))

    def run() -> None:
        for _ in range(count):
            target.copy_(source)
        machine.finish()

    return Limit(run, read / (2.0 * count * size))

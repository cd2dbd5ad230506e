"""Contrastive tuning of the chosen checkpoint."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.settings import Settings

_STAGES = {"read": "reading pictures", "train": "training"}


@dataclass(frozen=True, slots=True)
class TuneRequest:
    """`data` holds metadata.csv; `out` is absent or empty, or holds an unfinished run with the same options,
    and becomes a checkpoint folder.
    """

    data: Path
    out: Path
    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 1e-5
    seed: int = 0


def tune_checkpoint(
    settings: Settings,
    request: TuneRequest,
    *,
    on_progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
    on_note: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Tune `settings.model`, or `tiny`, and write the best weights to `request.out`.

    The options, the pairs and the folder are checked before torch is loaded.
    """
    from medsiglip.checkpoint import open_checkpoint
    from medsiglip.preprocess import DEFAULT_PROFILE
    from medsiglip.tuning.data import read_pairs
    from medsiglip.tuning.options import TuneOptions
    from medsiglip.tuning.unfinished import is_unfinished

    options = TuneOptions(
        epochs=request.epochs,
        batch_size=request.batch_size,
        learning_rate=request.learning_rate,
        seed=request.seed,
        profile=settings.profile or DEFAULT_PROFILE,
        device=settings.device,
        precision=settings.precision,
    )
    data, out = request.data.expanduser().absolute(), request.out.expanduser().absolute()
    if is_unfinished(out):
        on_note("an unfinished run is there: it goes on after its last whole epoch")
    elif out.is_dir() and any(out.iterdir()):
        raise ServiceError(
            "folder-not-empty", f"{out} already holds files: choose a new folder, or empty that one first."
        )
    read_pairs(data, seed=request.seed)
    checkpoint = open_checkpoint(settings.model or "tiny")
    if checkpoint.is_demonstration:
        on_note("tuning starts from `tiny`, a demonstration model trained on phantoms")
    with _sleeping_threads():
        from medsiglip.tuning.tune import tune

    report = tune(
        data,
        out,
        checkpoint=checkpoint,
        options=options,
        on_progress=lambda stage, done, total: on_progress(_STAGES[stage], done, total),
    )
    return report.to_json()


@contextmanager
def _sleeping_threads() -> Iterator[None]:
    """Have the threads of torch sleep while they wait: OpenMP reads this once, when torch is loaded.

    By default they spin, and hold up each other where other work takes a core: a step of tuning took 2.3 to
    2.9 s beside other work, and 0.64 to 0.75 s with sleeping threads.
    """
    name = "OMP_WAIT_POLICY"
    if name in os.environ:
        yield
        return
    os.environ[name] = "PASSIVE"
    try:
        yield
    finally:
        del os.environ[name]

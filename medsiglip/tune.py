"""Contrastive tuning: continues SigLIP's own training on pictures and captions of yours.

Loss: the pairwise sigmoid loss of Zhai et al., Sigmoid Loss for Language Image Pre-Training (arXiv
2303.15343), as `open_clip.loss.SigLipLoss` has it, in one process on a CPU or a GPU. The folder's format is
`medsiglip.tuning_data`.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from medsiglip._optimizer import OptimizerName, make_optimizers, set_learning_rate, warmup_cosine
from medsiglip.checkpoint import Checkpoint
from medsiglip.checkpoint_writer import prepare_folder, save_checkpoint, save_weights
from medsiglip.encoder import resolve_device
from medsiglip.errors import ModelError
from medsiglip.model import hugging_face_weights, load_model
from medsiglip.preprocess import DEFAULT_PROFILE
from medsiglip.tokenizer import Tokenizer
from medsiglip.tuning_curve import CurvePoint, draw_curve, write_curve
from medsiglip.tuning_data import Pairs, deal_batches, read_pairs, read_pictures

Stage = Literal["read", "train"]
OnProgress = Callable[[Stage, int, int], None]


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """How to tune. The defaults suit a pretrained checkpoint; training from scratch wants the
    `optimizer` "muon" and a `learning_rate` of 2e-3.

    `warmup` is the share of all steps over which the rate rises before it falls as a cosine to zero; `shift`
    the largest random displacement of a training picture, as a share of its side, and `intensity` the largest
    random change of its contrast and brightness (never a flip: captions name sides). `validation_fraction` is
    the share of patients held out where `metadata.csv` has no split. `precision` "bfloat16" is for GPUs.
    """

    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 1e-5
    weight_decay: float = 1e-2
    optimizer: OptimizerName = "adamw"
    warmup: float = 0.1
    shift: float = 0.04
    intensity: float = 0.1
    validation_fraction: float = 0.1
    seed: int = 0
    profile: str = DEFAULT_PROFILE
    device: str = "auto"
    precision: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2 or self.learning_rate <= 0:
            raise ModelError(
                "option-invalid",
                "Tuning needs at least 1 epoch, a batch size of at least 2 and a learning rate above 0.",
            )
        if not 0 < self.validation_fraction < 1:
            raise ModelError("option-invalid", "The validation fraction must lie between 0 and 1.")


@dataclass(frozen=True, slots=True)
class TuneReport:
    """What tuning did. `folder` holds the weights of `best`, the epoch of the lowest validation loss.

    `curve` starts with epoch 0, the checkpoint as it was given. `captions_truncated` counts captions longer
    than the model's context, whose ends were not read.
    """

    folder: Path
    training_pictures: int
    validation_pictures: int
    captions: int
    captions_truncated: int
    curve: tuple[CurvePoint, ...]
    best: CurvePoint
    interrupted: bool
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON answer."""
        return {
            "checkpoint": str(self.folder.absolute()),
            "training_pictures": self.training_pictures,
            "validation_pictures": self.validation_pictures,
            "captions": self.captions,
            "captions_truncated": self.captions_truncated,
            "start": self.curve[0].to_json(),
            "best": self.best.to_json(),
            "interrupted": self.interrupted,
            "seconds": round(self.seconds, 1),
        }


def tune(
    data: Path,
    out: Path,
    *,
    checkpoint: Checkpoint,
    options: TuneOptions | None = None,
    on_progress: OnProgress = lambda stage, done, total: None,
) -> TuneReport:
    """Tune `checkpoint` on the pairs in `data`, and write the best weights to `out` as a new checkpoint.

    `out` must be absent or empty; it also receives `curve.csv` and `curve.png`. The best weights so far are
    there from the first epoch on. Ctrl-C ends the run with them. The same seed, data and machine give the
    same weights. Where `metadata.csv` has a column `group`, the batches of every second epoch hold one group
    each, because telling apart pictures of one kind is the hard part.

    Raises ModelError: the codes of `tuning_data`, `folder-not-empty`, `folder-unwritable`,
    `unknown-device`, `loss-not-finite`.
    """
    started = time.monotonic()
    options = options or TuneOptions()
    pairs = read_pairs(data, validation_fraction=options.validation_fraction, seed=options.seed)
    prepare_folder(out)
    torch.manual_seed(options.seed)
    with _stored_pictures(pairs, out, checkpoint.image_size, options, on_progress) as pictures:
        run = _Run(checkpoint, pairs, pictures, options)
        curve: list[CurvePoint] = []
        interrupted = False
        try:
            for point in run.epochs(on_progress):
                curve.append(point)
                if point is min(curve, key=lambda p: p.validation_loss):
                    run.save(out, whole=len(curve) == 1)
                write_curve(out, curve)
        except KeyboardInterrupt:
            if not curve:
                raise
            interrupted = True
    draw_curve(out, curve)
    return TuneReport(
        folder=out,
        training_pictures=int((~pairs.held_out).sum()),
        validation_pictures=int(pairs.held_out.sum()),
        captions=sum(len(captions) for captions in pairs.captions),
        captions_truncated=run.captions_truncated,
        curve=tuple(curve),
        best=min(curve, key=lambda point: point.validation_loss),
        interrupted=interrupted,
        seconds=time.monotonic() - started,
    )


@contextmanager
def _stored_pictures(
    pairs: Pairs, folder: Path, size: int, options: TuneOptions, on_progress: OnProgress
) -> Iterator[NDArray[np.uint8]]:
    """Give all model inputs, uint8 [n, S, S, 3], in a nameless file: they need not fit in memory."""
    count = len(pairs.paths)
    with tempfile.TemporaryFile(dir=folder) as file:
        pictures = np.memmap(file, dtype=np.uint8, mode="w+", shape=(count, size, size, 3))
        read_pictures(pairs.paths, pictures, options.profile, lambda done: on_progress("read", done, count))
        yield pictures


class _Run:
    """The model, its optimizer and the data of one tuning run."""

    def __init__(
        self, checkpoint: Checkpoint, pairs: Pairs, pictures: NDArray[np.uint8], options: TuneOptions
    ) -> None:
        from open_clip.loss import SigLipLoss

        self._checkpoint, self._options, self._pictures = checkpoint, options, pictures
        self._device = resolve_device(options.device)
        self._towers = load_model(checkpoint).to(self._device).requires_grad_(True).train()
        self._loss = SigLipLoss()
        self._rng = np.random.default_rng(options.seed)
        self._training = np.flatnonzero(~pairs.held_out)
        self._validation = np.flatnonzero(pairs.held_out)
        self._captions = pairs.captions
        self._tokenize_once(checkpoint)
        self._groups = [pairs.groups[i] for i in self._training]
        plain, grouped = self._batch_counts()
        self._steps = plain * (options.epochs - options.epochs // 2) + grouped * (options.epochs // 2)
        self._step = 0
        self._optimizers = make_optimizers(
            self._towers,
            options.optimizer,
            learning_rate=options.learning_rate,
            weight_decay=options.weight_decay,
        )

    def _tokenize_once(self, checkpoint: Checkpoint) -> None:
        tokenizer = Tokenizer(checkpoint.spiece_path, checkpoint.context_length)
        texts = sorted({caption for captions in self._captions for caption in captions})
        tokens = tokenizer(texts)
        self._row = {text: row for row, text in enumerate(texts)}
        self._tokens = torch.from_numpy(tokens)
        # The last place is left for </s>, so a caption that fills the place before it has lost its end.
        full = (
            tokens[:, -2] != tokenizer.pad_id if checkpoint.context_length > 1 else np.zeros(len(texts), bool)
        )
        self.captions_truncated = sum(
            int(full[self._row[caption]]) for captions in self._captions for caption in captions
        )

    def _batch_counts(self) -> tuple[int, int]:
        """Batches of an epoch that mixes all pictures, and of one whose batches hold one group each."""
        size = self._options.batch_size
        sizes = Counter(self._groups).values()
        return -(-len(self._groups) // size), sum(-(-count // size) for count in sizes)

    def epochs(self, on_progress: OnProgress) -> Iterator[CurvePoint]:
        """Yield the curve's points: the state as given, then after each epoch."""
        started = time.monotonic()
        yield self._validate(0, math.nan, started)
        for epoch in range(1, self._options.epochs + 1):
            losses = []
            drawn = [str(self._rng.choice(self._captions[i])) for i in self._training]
            groups = None if epoch % 2 else self._groups
            for batch in deal_batches(drawn, self._options.batch_size, self._rng, groups):
                losses.append(self._train(self._training[batch], [drawn[i] for i in batch]))
                on_progress("train", self._step, self._steps)
            yield self._validate(epoch, float(np.mean(losses)), started)

    def _train(self, chosen: NDArray[np.intp], captions: Sequence[str]) -> float:
        share = warmup_cosine(self._step, self._steps, self._options.warmup)
        set_learning_rate(self._optimizers, self._options.learning_rate * share)
        pictures = augment(self._pictures[chosen], self._rng, self._options.shift, self._options.intensity)
        loss = self._loss_of(*self._encode(pictures, captions))
        value = float(loss.detach())
        if not math.isfinite(value):
            raise ModelError(
                "loss-not-finite",
                f"The loss became {value} at step {self._step + 1}: lower the learning rate "
                f"(it is {self._options.learning_rate:g}).",
            )
        self._towers.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._towers.parameters(), 1.0)
        for optimizer in self._optimizers:
            optimizer.step()
        self._step += 1
        return value

    def _encode(
        self, pictures: NDArray[np.uint8], captions: Sequence[str]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return unit-length float32 vectors of `pictures` [n, S, S, 3] and of `captions`, each [n, d]."""
        pixels = torch.from_numpy(pictures).to(self._device).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        rows = [self._row[caption] for caption in captions]
        unique, place = np.unique(rows, return_inverse=True)
        tokens = self._tokens[unique].to(self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._options.precision == "bfloat16"):
            images, texts = self._towers(pixels, tokens)
        normalize = torch.nn.functional.normalize
        return normalize(images.float(), dim=-1), normalize(texts.float(), dim=-1)[torch.from_numpy(place)]

    def _loss_of(self, images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        loss: torch.Tensor = self._loss(
            images, texts, self._towers.logit_scale.exp(), self._towers.logit_bias
        )
        return loss

    @torch.no_grad()
    def _validate(self, epoch: int, training_loss: float, started: float) -> CurvePoint:
        """Measure the held-out pictures, each with its first caption, among all distinct first captions."""
        self._towers.eval()
        captions = [self._captions[i][0] for i in self._validation]
        parts, total = [], 0.0
        size = min(self._options.batch_size, len(captions))
        # Batches of equal size, as in training: the sigmoid loss depends on how many negatives a batch holds.
        for start in range(0, len(captions), size):
            stop = min(start + size, len(captions))
            chosen = np.arange(stop - size, stop)
            images, texts = self._encode(
                self._pictures[self._validation[chosen]], [captions[i] for i in chosen]
            )
            total += float(self._loss_of(images, texts)) * (stop - start)
            parts.append((images[start - stop :].cpu(), texts[start - stop :].cpu()))
        self._towers.train()
        images, texts = (torch.cat(side) for side in zip(*parts, strict=True))
        at_1, at_5 = _recall(images, texts, captions)
        return CurvePoint(epoch, training_loss, total / len(captions), at_1, at_5, time.monotonic() - started)

    def save(self, out: Path, *, whole: bool) -> None:
        """Write the weights, and `whole`, too, what else a checkpoint folder holds."""
        tensors = hugging_face_weights(self._towers)
        if whole:
            save_checkpoint(out, self._checkpoint.config, tensors, self._checkpoint.spiece_path)
        else:
            save_weights(out, tensors)


def _recall(images: torch.Tensor, texts: torch.Tensor, captions: Sequence[str]) -> tuple[float, float]:
    """Return how often a picture's own caption is the first, and among the first five, of all captions."""
    first: dict[str, int] = {}
    for i, caption in enumerate(captions):
        first.setdefault(caption, i)
    own = torch.tensor([list(first).index(caption) for caption in captions])
    cosine = images @ texts[list(first.values())].T
    rank = (cosine > cosine.gather(1, own[:, None])).sum(1)
    return float((rank < 1).float().mean()), float((rank < 5).float().mean())


def augment(
    pictures: NDArray[np.uint8], rng: np.random.Generator, shift: float, intensity: float
) -> NDArray[np.uint8]:
    """Return `pictures` [n, S, S, 3] moved, and changed in contrast and brightness, by up to these shares.

    What moves in from outside is black, as in padding, and black stays black.
    """
    count, size = pictures.shape[:2]
    most = round(shift * size)
    out = np.zeros_like(pictures)
    moves = rng.integers(-most, most + 1, (count, 2))
    gains = 1 + rng.uniform(-intensity, intensity, (count, 1))
    offsets = 127.5 + 127.5 * rng.uniform(-intensity, intensity, (count, 1))
    tables = np.clip(np.rint((np.arange(256) - 127.5) * gains + offsets), 0, 255).astype(np.uint8)
    tables[:, 0] = 0
    for i, (down, right) in enumerate(moves.tolist()):
        source = pictures[i, max(0, -down) : size - max(0, down), max(0, -right) : size - max(0, right)]
        out[i, max(0, down) : size + min(0, down), max(0, right) : size + min(0, right)] = tables[i][source]
    return out

"""Contrastive tuning: continues SigLIP's own training on your pictures and captions.

Loss: the pairwise sigmoid loss of Zhai et al., Sigmoid Loss for Language Image Pre-Training (arXiv
2303.15343), as `open_clip.loss.SigLipLoss` has it, in one process on a CPU or a GPU. The folder's format is
`medsiglip.tuning.data`.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from medsiglip.checkpoint import Checkpoint
from medsiglip.checkpoint_writer import prepare_folder, save_checkpoint, save_weights
from medsiglip.encoder import resolve_device
from medsiglip.errors import ModelError
from medsiglip.model import hugging_face_weights, load_model
from medsiglip.tokenizer import Tokenizer
from medsiglip.tuning import unfinished
from medsiglip.tuning.batches import CaptionTable, augment, make_batches
from medsiglip.tuning.curve import CurvePoint, plot_curve, write_curve
from medsiglip.tuning.data import Pairs, read_pairs, read_pictures
from medsiglip.tuning.optimizer import make_optimizers, set_learning_rate, warmup_cosine
from medsiglip.tuning.options import TuneOptions as TuneOptions

Stage = Literal["read", "train"]
OnProgress = Callable[[Stage, int, int], None]


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
    context_length: int
    curve: tuple[CurvePoint, ...]
    best: CurvePoint
    interrupted: bool
    seconds: float

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know about the data."""
        if not self.captions_truncated:
            return ()
        return (
            f"{self.captions_truncated} of {self.captions} captions are longer than the "
            f"{self.context_length - 1} tokens that the model reads, so that ends were not read. Shorten or "
            "split them.",
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON answer."""
        return {
            "checkpoint": str(self.folder.absolute()),
            "training_pictures": self.training_pictures,
            "validation_pictures": self.validation_pictures,
            "captions": self.captions,
            "captions_truncated": self.captions_truncated,
            "warnings": list(self.warnings),
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
    same weights. A run that was killed or stopped, or ended with an error other than `loss-not-finite`, goes
    on after its last whole epoch when it is started again with the same arguments and data, and ends with the
    weights of one that was not.

    Raises ModelError: the codes of `medsiglip.tuning.data`, `folder-not-empty`, `folder-unwritable`,
    `other-run`, `state-unreadable`, `unknown-device`, `captions-not-shared`, `loss-not-finite`.
    """
    started = time.monotonic()
    options = options or TuneOptions()
    pairs = read_pairs(data, validation_fraction=options.validation_fraction, seed=options.seed)
    if not unfinished.is_unfinished(out):
        prepare_folder(out)
    unfinished.begin(out, unfinished.described(checkpoint, pairs, options))
    curve: list[CurvePoint] = []
    interrupted = False
    torch.manual_seed(options.seed)
    try:
        with _stored_pictures(pairs, out, checkpoint.image_size, options, on_progress) as pictures:
            run = _Run(checkpoint, pairs, pictures, options)
            curve += run.resume(unfinished.load(out))
            try:
                for point in run.epochs(on_progress, curve):
                    curve.append(point)
                    if point is min(curve, key=lambda p: p.validation_loss):
                        run.save(out, everything=len(curve) == 1)
                    write_curve(out, curve)
                    plot_curve(out, curve)
                    unfinished.save(out, run.state(curve))
            except KeyboardInterrupt:
                if not curve:
                    raise
                interrupted = True
    except ModelError as error:
        if not curve and not unfinished.has_state(out):
            unfinished.discard(out)
        elif error.code == "loss-not-finite":  # it would come to that again
            unfinished.end(out)
        raise
    if not interrupted:
        unfinished.end(out)
    return TuneReport(
        folder=out,
        training_pictures=int((~pairs.held_out).sum()),
        validation_pictures=int(pairs.held_out.sum()),
        captions=sum(len(captions) for captions in pairs.captions),
        captions_truncated=run.captions_truncated,
        context_length=checkpoint.context_length,
        curve=tuple(curve),
        best=min(curve, key=lambda point: point.validation_loss),
        interrupted=interrupted,
        seconds=time.monotonic() - started,
    )


@contextmanager
def _stored_pictures(
    pairs: Pairs, folder: Path, size: int, options: TuneOptions, on_progress: OnProgress
) -> Iterator[NDArray[np.uint8]]:
    """Yield all model inputs, uint8 [n, S, S, 3], in an unnamed file, because they may not fit in memory."""
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
        self._checkpoint, self._options, self._pictures = checkpoint, options, pictures
        self._device = resolve_device(options.device)
        self._towers = load_model(checkpoint).to(self._device).requires_grad_(True).train()
        self._loss = _make_loss()
        self._rng = np.random.default_rng(options.seed)
        self._training = np.flatnonzero(~pairs.held_out)
        self._validation = np.flatnonzero(pairs.held_out)
        tokenizer = Tokenizer(checkpoint.spiece_path, checkpoint.context_length)
        self._texts = CaptionTable(pairs.captions, tokenizer)
        self.captions_truncated = self._texts.truncated
        self._groups = [pairs.groups[i] for i in self._training]
        kinds = [pairs.groups[i] for i in self._validation]
        self._validation_batches = make_batches(kinds, options.batch_size, self._rng)
        self._steps = options.epochs * len(make_batches(self._groups, options.batch_size, self._rng))
        self._step = 0
        self._trained = self._lock(checkpoint.dimension)
        self._optimizers = make_optimizers(
            self._trained,
            options.optimizer,
            learning_rate=options.learning_rate,
            weight_decay=options.weight_decay,
        )

    def _lock(self, dimension: int) -> torch.nn.ModuleDict:
        """Turn off the gradients of the tower that is not trained; the modules that are."""
        self._vectors: torch.Tensor | None = None
        trained = torch.nn.ModuleDict({"towers": self._towers})
        if self._options.train == "image":
            if not self._texts.shared_count:
                raise ModelError(
                    "captions-not-shared",
                    "No caption belongs to enough pictures to train the image tower alone: train both.",
                )
            self._towers.text.requires_grad_(False)
            table = torch.nn.Embedding(self._texts.shared_count, dimension, device=self._device)
            torch.nn.init.normal_(table.weight, std=0.1)
            trained["caption_table"] = table
        elif self._options.train == "text":
            self._towers.visual.requires_grad_(False)
            self._vectors = self._picture_vectors()
        return trained

    @torch.no_grad()
    def _picture_vectors(self) -> torch.Tensor:
        """The vectors [n, d] of all pictures from the locked image tower."""
        self._towers.visual.eval()
        count, size = len(self._pictures), 128
        parts = [self._encode_pictures(self._pictures[i : i + size]) for i in range(0, count, size)]
        return torch.cat(parts)

    def state(self, curve: Sequence[CurvePoint]) -> dict[str, Any]:
        """All that the next epoch depends on, in types that `torch.load` takes without pickle."""
        return {
            "trained": self._trained.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "numpy": self._rng.bit_generator.state,
            "torch": torch.get_rng_state(),
            "step": self._step,
            "curve": [asdict(point) for point in curve],
        }

    def resume(self, state: Mapping[str, Any] | None) -> list[CurvePoint]:
        """Go back to a state; the points of the curve that led there."""
        if state is None:
            return []
        self._trained.load_state_dict(state["trained"])
        for optimizer, values in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(values)
        self._rng.bit_generator.state = state["numpy"]
        torch.set_rng_state(state["torch"])
        self._step = state["step"]
        return [CurvePoint(**point) for point in state["curve"]]

    def epochs(self, on_progress: OnProgress, done: Sequence[CurvePoint]) -> Iterator[CurvePoint]:
        """Yield the points of the curve that are not `done`: before training, then after each epoch."""
        started = time.monotonic() - (done[-1].seconds if done else 0.0)
        if not done:
            yield self._validate(0, math.nan, started)
        for epoch in range(max(len(done), 1), self._options.epochs + 1):
            losses = []
            for batch in make_batches(self._groups, self._options.batch_size, self._rng):
                losses.append(self._train(self._training[batch]))
                on_progress("train", self._step, self._steps)
            yield self._validate(epoch, float(np.mean(losses)), started)

    def _train(self, chosen: NDArray[np.intp]) -> float:
        share = warmup_cosine(self._step, self._steps, self._options.warmup)
        set_learning_rate(self._optimizers, self._options.learning_rate * share)
        if self._vectors is None:
            options = self._options
            pictures = augment(self._pictures[chosen], self._rng, options.shift, options.intensity)
            images = self._encode_pictures(pictures)
        else:
            images = self._vectors[chosen]
        if self._options.train == "image":
            captions = self._texts.shared(chosen)
        else:
            captions = self._texts.sample(chosen, self._options.captions_per_step, self._rng)
        loss = self._loss_of(images, self._encode_captions(captions), self._texts.matches(chosen, captions))
        value = float(loss.detach())
        if not math.isfinite(value):
            raise ModelError(
                "loss-not-finite",
                f"The loss became {value} at step {self._step + 1}: lower the learning rate "
                f"(it is {self._options.learning_rate:g}).",
            )
        self._trained.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._trained.parameters(), 1.0)
        for optimizer in self._optimizers:
            optimizer.step()
        self._step += 1
        return value

    def _encode_pictures(self, pictures: NDArray[np.uint8]) -> torch.Tensor:
        """Unit-length float32 vectors of `pictures` [n, S, S, 3]."""
        pixels = torch.from_numpy(pictures).to(self._device).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        with self._autocast():
            vectors = self._towers.visual(pixels)
        return torch.nn.functional.normalize(vectors.float(), dim=-1)

    def _encode_captions(self, captions: NDArray[np.int64]) -> torch.Tensor:
        """Unit-length float32 vectors of `captions` [m], by number."""
        if self._options.train == "image":
            vectors = self._trained["caption_table"](torch.from_numpy(captions).to(self._device))
        else:
            with self._autocast():
                vectors = self._towers.text(torch.from_numpy(self._texts.tokens[captions]).to(self._device))
        return torch.nn.functional.normalize(vectors.float(), dim=-1)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self._device.type, torch.bfloat16, enabled=self._options.precision == "bfloat16"
        )

    def _loss_of(self, images: torch.Tensor, texts: torch.Tensor, matches: NDArray[np.bool_]) -> torch.Tensor:
        self._loss.matches = torch.from_numpy(matches).to(self._device)
        loss: torch.Tensor = self._loss(
            images, texts, self._towers.logit_scale.exp(), self._towers.logit_bias
        )
        return loss

    @torch.no_grad()
    def _validate(self, epoch: int, training_loss: float, started: float) -> CurvePoint:
        """Measure the held-out pictures, each with its first caption, among all distinct first captions.

        Captions with vectors of their own are measured by the loss alone: one caption names many pictures.
        """
        self._towers.eval()
        alone = self._options.train == "image"
        first, parts, total = self._texts.first(self._validation), [], 0.0
        for batch in self._validation_batches:
            chosen = self._validation[batch]
            captions = self._texts.shared(chosen) if alone else np.unique(first[batch])
            images, texts = self._encode_pictures(self._pictures[chosen]), self._encode_captions(captions)
            total += float(self._loss_of(images, texts, self._texts.matches(chosen, captions))) * len(batch)
            parts.append((first[batch], images.cpu().numpy(), captions, texts.cpu().numpy()))
        self._towers.train()
        columns = (np.concatenate(side) for side in zip(*parts, strict=True))
        at_1, at_5 = (math.nan, math.nan) if alone else _recall(*columns)
        return CurvePoint(epoch, training_loss, total / len(first), at_1, at_5, time.monotonic() - started)

    def save(self, out: Path, *, everything: bool) -> None:
        """Write the weights, with `everything` also the other files of a checkpoint."""
        tensors = hugging_face_weights(self._towers)
        if everything:
            save_checkpoint(out, self._checkpoint.config, tensors, self._checkpoint.spiece_path)
        else:
            save_weights(out, tensors)


def _recall(
    own: NDArray[np.int64],
    images: NDArray[np.float32],
    captions: NDArray[np.int64],
    texts: NDArray[np.float32],
) -> tuple[float, float]:
    """How often a picture's own caption is the first, and among the first five, of all captions.

    `own` [n] is the caption of each of `images` [n, d], `captions` [m] those of `texts` [m, d], by number.
    """
    different, places = np.unique(captions, return_index=True)
    cosine = images @ texts[places].T
    rank = (cosine > np.take_along_axis(cosine, np.searchsorted(different, own)[:, None], 1)).sum(1)
    return float((rank < 1).mean()), float((rank < 5).mean())


def _make_loss() -> Any:
    """open_clip's `SigLipLoss` with one change: its attribute `matches` [n, m] says which pairs match.

    In the published loss (Zhai et al., arXiv 2303.15343, algorithm 1) only a picture's own caption matches,
    and the same words count as wrong for other pictures of the batch that they describe just as well.
    """
    from open_clip.loss import SigLipLoss

    class ListedCaptionLoss(SigLipLoss):  # type: ignore[misc]
        matches: torch.Tensor

        def get_ground_truth(
            self, device: torch.device, dtype: torch.dtype, num_logits: int, negative_only: bool = False
        ) -> torch.Tensor:
            return 2 * self.matches.to(device=device, dtype=dtype) - 1

    return ListedCaptionLoss()

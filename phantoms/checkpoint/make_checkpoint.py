"""Makes the bundled demonstration model: trains it on phantoms and measures it on others.

Run as `python -m medsiglip.phantoms.checkpoint.make_checkpoint --out medsiglip/checkpoints/tiny`.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsiglip.architecture import read_architecture
from medsiglip.checkpoint import open_checkpoint
from medsiglip.phantoms.checkpoint.figures import Figures, measure
from medsiglip.phantoms.checkpoint.model_card import model_card
from medsiglip.phantoms.checkpoint.tuning_set import TuningSetOptions, render_studies, write_tuning_set
from medsiglip.phantoms.checkpoint.vocabulary import train_vocabulary
from medsiglip.zero_shot.prompt_file import list_prompt_sets, load_prompt_set

if TYPE_CHECKING:
    from medsiglip.tuning.tune import TuneReport

IMAGE_SIZE = 128
PATCH_SIZE = 16
WIDTH = 128
HEADS = 4
VISION_LAYERS = 4
TEXT_WIDTH = 64
TEXT_LAYERS = 2
CONTEXT_LENGTH = 64
PIECES = 2000

MEASURING_SEED = 900_001
"""Seed of the studies that the figures are measured on; training seeds are far below."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How much to synthesise and how to train: `studies` made from `seed`, measured on `unseen` others.

    The image tower is trained in cycles of `image_epochs` passes, each with a rate that rises and falls.

    Small batches, for the number of steps, not of pictures, is what an untrained image tower learns by.
    """

    studies: int = 11_000
    unseen: int = 720
    image_epochs: tuple[int, ...] = (8, 4)
    image_batch: int = 16
    image_rate: float = 1e-3
    text_epochs: int = 4
    text_batch: int = 64
    text_rate: float = 1e-3
    weight_decay: float = 0.05
    seed: int = 1
    workers: int = 2
    localised: int = 300
    """Of so many studies those with one lesion tell what maps of texts are worth."""


def tiny_config(vocabulary_size: int) -> dict[str, Any]:
    """Contents of `config.json`."""

    def tower(width: int, layers: int) -> dict[str, Any]:
        return {
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": HEADS,
            "hidden_act": "gelu_pytorch_tanh",
            "layer_norm_eps": 1e-6,
        }

    return {
        "architectures": ["SiglipModel"],
        "model_type": "siglip",
        "vision_config": {
            "model_type": "siglip_vision_model",
            **tower(WIDTH, VISION_LAYERS),
            "image_size": IMAGE_SIZE,
            "patch_size": PATCH_SIZE,
            "num_channels": 3,
        },
        "text_config": {
            "model_type": "siglip_text_model",
            **tower(TEXT_WIDTH, TEXT_LAYERS),
            "projection_size": WIDTH,
            "vocab_size": vocabulary_size,
            "max_position_embeddings": CONTEXT_LENGTH,
            "bos_token_id": None,
            "eos_token_id": 1,
            "pad_token_id": 1,
        },
    }


@dataclass(slots=True)
class _Stages:
    """Seconds of each stage, and progress on standard error."""

    seconds: dict[str, float] = field(default_factory=dict)
    _shown: float = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        print(f"{name} ...", file=sys.stderr, flush=True)
        yield
        self.seconds[name] = round(time.monotonic() - started, 1)
        print(f"{name}: {self.seconds[name]} s", file=sys.stderr, flush=True)

    def progress(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._shown > 10:
            self._shown = now
            print(f"  {what} {done} of {total}", file=sys.stderr, flush=True)

    def counter(self, what: str) -> Callable[[int, int], None]:
        return lambda done, total: self.progress(what, done, total)


def make_checkpoint(out: Path, recipe: Recipe, data: Path | None = None) -> dict[str, Any]:
    """Make the checkpoint folder `out`, replacing what is there; return what `figures.json` holds.

    `data` keeps the tuning set: made there if it holds none yet, else used as it is.
    """
    stages = _Stages()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tiny-", dir=out.parent) as scratch:
        work = Path(scratch)
        data = data or work / "data"
        if not (data / "metadata.csv").exists():
            with stages.stage("draw"):
                _write_data(data, recipe, stages)
        with stages.stage("vocabulary"):
            _write_untrained(work / "untrained", data, recipe.seed)
        report = _train(data, work, recipe, stages)
        with stages.stage("measure"):
            figures = _measure(work / "trained", recipe, stages)
            write_localisation(work / "trained", recipe.localised, stages.counter("phantoms with a lesion"))
        result = _result(recipe, report, figures, stages)
        (work / "trained" / "figures.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        (work / "trained" / "README.md").write_text(model_card(result), encoding="utf-8")
        _replace(work / "trained", out)
    return result


def _write_data(data: Path, recipe: Recipe, stages: _Stages) -> None:
    options = TuningSetOptions(
        recipe.studies, recipe.seed, IMAGE_SIZE, every_volume=2, workers=recipe.workers
    )
    write_tuning_set(data, options, stages.counter("studies"))


def _write_untrained(folder: Path, data: Path, seed: int) -> None:
    from sentencepiece import SentencePieceProcessor

    from medsiglip.checkpoint_writer import save_checkpoint
    from medsiglip.initial_weights import initial_tensors

    with (data / "metadata.csv").open(newline="", encoding="utf-8") as file:
        captions = sorted({row["caption"] for row in csv.DictReader(file)})
    prompt_sets = [load_prompt_set(name) for name in list_prompt_sets()]
    vocabulary = train_vocabulary(captions, prompt_sets, PIECES)
    config = tiny_config(SentencePieceProcessor(model_proto=vocabulary).get_piece_size())
    folder.mkdir()
    (folder / "spiece.model").write_bytes(vocabulary)
    tensors = initial_tensors(read_architecture(config, "config.json"), seed, logit_bias=-1.0)
    save_checkpoint(folder, config, tensors, folder / "spiece.model")


def _train(data: Path, work: Path, recipe: Recipe, stages: _Stages) -> TuneReport:
    """Train the image tower with a vector for each caption, then the text tower on its locked vectors."""
    from medsiglip.tuning.tune import TuneOptions, tune

    common = TuneOptions(
        optimizer="muon",
        weight_decay=recipe.weight_decay,
        validation_fraction=0.03,
        seed=recipe.seed,
        device="cpu",
    )
    image = replace(
        common,
        train="image",
        epochs=recipe.image_epochs[0],
        batch_size=recipe.image_batch,
        learning_rate=recipe.image_rate,
    )
    text = replace(
        common,
        train="text",
        epochs=recipe.text_epochs,
        batch_size=recipe.text_batch,
        captions_per_step=4,
        learning_rate=recipe.text_rate,
    )
    seeing = work / "untrained"
    with stages.stage("train the image tower"):
        for cycle, epochs in enumerate(recipe.image_epochs):
            options = replace(image, epochs=epochs, seed=recipe.seed + cycle)
            start, seeing = open_checkpoint(str(seeing)), work / f"seeing-{cycle}"
            tune(data, seeing, checkpoint=start, options=options, on_progress=stages.progress)
    with stages.stage("train the text tower"):
        start = open_checkpoint(str(seeing))
        report = tune(data, work / "trained", checkpoint=start, options=text, on_progress=stages.progress)
    for name in ("curve.csv", "curve.png"):
        shutil.copy(seeing / name, work / "trained" / name.replace("curve", "curve-image-tower"))
    return report


def _measure(folder: Path, recipe: Recipe, stages: _Stages) -> Figures:
    from medsiglip.encoder import Encoder

    encoder = Encoder(open_checkpoint(str(folder)), device="cpu")
    # Every image of each series, as ingest would have them.
    options = TuningSetOptions(recipe.unseen, MEASURING_SEED, IMAGE_SIZE, images=1000, workers=recipe.workers)
    return measure(encoder, render_studies(options, stages.counter("unseen studies")))


def write_localisation(
    folder: Path, studies: int, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Write what the maps of the model in `folder` are worth, which answers to `why` state, beside it."""
    from medsiglip.encoder import Encoder
    from medsiglip.phantoms.checkpoint.localisation import measure_localisation

    encoder = Encoder(open_checkpoint(str(folder)), device="cpu")
    measured = measure_localisation(encoder, encoder.profile, studies, on_progress=on_progress)
    space = f"{encoder.checkpoint.hash[:12]}-{encoder.profile}-{encoder.checkpoint.dimension}"
    (folder / "localisation.json").write_text(
        json.dumps({space: measured.to_json()}, indent=1) + "\n", encoding="utf-8"
    )


def _result(recipe: Recipe, report: TuneReport, figures: Figures, stages: _Stages) -> dict[str, Any]:
    return {
        "trained_on": {
            "studies": recipe.studies,
            "pictures": report.training_pictures,
            "captions": report.captions,
            "seed": recipe.seed,
            "image_epochs": sum(recipe.image_epochs),
            "text_epochs": recipe.text_epochs,
        },
        "measured_on": {"seed": MEASURING_SEED, "studies": figures.studies, "images": figures.images},
        "validation": report.best.to_json(),
        **{name: value for name, value in figures.to_json().items() if isinstance(value, dict)},
        "seconds": stages.seconds,
    }


def _replace(made: Path, out: Path) -> None:
    """Put the folder `made` in the place of `out`."""
    if out.exists():
        shutil.rmtree(out)
    made.rename(out)
    # A folder made by tempfile's rules would be closed to other users.
    out.chmod(0o755)


def main() -> None:
    """Parse the command line and make the checkpoint."""
    parser = argparse.ArgumentParser(description="Make the demonstration model from phantoms alone.")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the checkpoint, replaced if it exists"
    )
    parser.add_argument("--data", type=Path, help="folder that keeps the phantoms; used again if it has some")
    defaults = Recipe()
    for name in ("studies", "unseen", "text_epochs", "seed", "workers"):
        parser.add_argument(
            f"--{name}", type=int, default=getattr(defaults, name), help="default: %(default)s"
        )
    arguments = vars(parser.parse_args())
    out, data = arguments.pop("out"), arguments.pop("data")
    result = make_checkpoint(out, Recipe(**arguments), data)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

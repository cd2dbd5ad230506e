"""A generator in this process: a Gemma 3 checkpoint run by transformers, the extra `medgemma`.

float16 is refused: Gemma 3's vision tower overflows in it, and the output is empty or not a number.
"""

from __future__ import annotations

import importlib.util
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast, get_args

from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.generators.generators import (
    Cancelled,
    GeneratorKind,
    GeneratorSettings,
    Readiness,
    cancellation,
    never,
)
from medsiglip.medgemma.generators.readiness import RememberedReadiness, try_two_pictures
from medsiglip.medgemma.generators.replies import RawReply, Reply, read_reply
from medsiglip.medgemma.prompting.budget import Budget
from medsiglip.medgemma.prompting.prompts import Prompt

Precision = Literal["bfloat16", "float32"]
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """`device` is auto, cpu or cuda[:n]; without `precision` bfloat16 on a GPU and float32 on a CPU.

    `total` is how many seconds a reply may take, the wait for an earlier one not counted.
    """

    device: str = "auto"
    precision: str | None = None
    total: float = 600.0


class LocalPipeline:
    """One checkpoint, loaded when it is first needed; one reply at a time for all threads.

    `model` is a folder or a hub id. `budget` is cut to the positions and the tokens a picture that the
    checkpoint's own `config.json` names, where it is a local folder. Raises DraftError `precision-refused`.
    """

    def __init__(self, model: str, budget: Budget | None = None, options: LocalOptions | None = None) -> None:
        self.name = model
        self.model = model
        self._options = options or LocalOptions()
        self._precision = checked_precision(self._options.precision)
        self.budget = _fitted(budget or Budget(), model)
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None
        self._readiness = RememberedReadiness(self._probe)

    def generate(self, prompt: Prompt, *, cancelled: Cancelled = never) -> Reply:
        """See `Generator.generate`. Further codes: `extra-missing`, `generator-model-unknown`,
        `generator-failed`, `generator-out-of-memory` (may pass), `image-blind`, `reply-not-a-number`.

        `cancelled` is called after each token; reading the prompt, before the first one, cannot be cancelled.
        """
        with self._turn(cancelled):
            loaded = self._loaded = self._loaded or _load(self.model, self._precision, self._options.device)
            with _memory_watched(self.model):
                return self._reply(loaded, prompt, cancelled)

    def ready(self) -> Readiness:
        """See `Generator.ready`; loads the model if it is not loaded."""
        return self._readiness()

    def _probe(self) -> Readiness:
        return try_two_pictures(self.generate, self.budget)

    @contextmanager
    def _turn(self, cancelled: Cancelled) -> Iterator[None]:
        while True:
            if cancelled():
                raise cancellation()
            if self._lock.acquire(timeout=_POLL_SECONDS):
                break
        try:
            yield
        finally:
            self._lock.release()

    def _reply(self, loaded: _Loaded, prompt: Prompt, cancelled: Cancelled) -> Reply:
        import torch

        inputs = _inputs(loaded, prompt)
        length = int(inputs["input_ids"].shape[1])
        self._check_room(loaded, prompt, inputs, length)
        watch = _Watch(self.model, cancelled, self._options.total)
        with torch.inference_mode():
            written = loaded.network.generate(
                **inputs.to(loaded.network.device, dtype=loaded.network.dtype),
                max_new_tokens=prompt.reply_tokens,
                do_sample=prompt.temperature > 0,
                **({"temperature": prompt.temperature} if prompt.temperature > 0 else _GREEDY),
                logits_processor=[watch],
            )[0, length:].tolist()
        ended = bool(written) and written[-1] in loaded.ends
        raw = RawReply(
            loaded.processor.decode(written, skip_special_tokens=False),
            self.model,
            "stop" if ended else "length",
            prompt_tokens=length,
            completion_tokens=len(written),
        )
        return read_reply(raw, prompt)

    def _check_room(self, loaded: _Loaded, prompt: Prompt, inputs: Any, length: int) -> None:
        pictures = sum(not isinstance(part, str) for part in prompt.parts)
        shown = int((inputs["input_ids"] == loaded.network.config.image_token_id).sum())
        if shown != pictures * self.budget.tokens_per_picture:
            raise DraftError(
                "image-blind",
                f"{self.model} takes {shown} tokens of pictures where {pictures} pictures of "
                f"{self.budget.tokens_per_picture} were to be shown; use the checkpoint's own processor and "
                "chat template.",
            )
        if length + prompt.reply_tokens > self.budget.context_tokens:
            raise DraftError(
                "prompt-too-long",
                f"The prompt takes {length} tokens and its reply {prompt.reply_tokens}, and {self.model} "
                f"takes {self.budget.context_tokens} together; show fewer pictures.",
            )


_GREEDY = {"temperature": None, "top_p": None, "top_k": None}


@dataclass(slots=True)
class _Loaded:
    model: str
    processor: Any
    network: Any
    ends: frozenset[int]


class _Watch:
    """A logits processor that changes nothing: it ends work that is cancelled, late, or not a number."""

    def __init__(self, model: str, cancelled: Cancelled, seconds: float) -> None:
        self._model, self._cancelled = model, cancelled
        self._seconds, self._end = seconds, time.monotonic() + seconds

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        if self._cancelled():
            raise cancellation()
        if time.monotonic() > self._end:
            raise DraftError(
                "generator-timeout",
                f"{self._model} had not finished its reply after {self._seconds:g} s; run it on a GPU, or "
                "show fewer pictures.",
                may_pass=True,
            )
        if bool(scores.isnan().any()):
            raise DraftError(
                "reply-not-a-number",
                f"{self._model} computes what is not a number; its weights are damaged or were stored in "
                "float16: get the checkpoint anew, in bfloat16 or float32.",
            )
        return scores


def checked_precision(name: str | None) -> Precision | None:
    """The precision of this name. Raises DraftError `precision-refused`."""
    if name is None or name in get_args(Precision):
        return cast(Precision | None, name)
    why = "overflows in Gemma 3's vision tower" if name == "float16" else "is not known here"
    raise DraftError("precision-refused", f"{name} {why}; use bfloat16 or float32.")


def _fitted(budget: Budget, model: str) -> Budget:
    """The budget within what the folder's `config.json` names; as it is for a hub id."""
    try:
        config = json.loads((Path(model).expanduser() / "config.json").read_text(encoding="utf-8"))
        positions = config.get("text_config", {}).get("max_position_embeddings", budget.context_tokens)
        tokens = config.get("mm_tokens_per_image", budget.tokens_per_picture)
        return replace(
            budget, context_tokens=min(budget.context_tokens, positions), tokens_per_picture=tokens
        )
    except (OSError, ValueError, AttributeError, TypeError):
        return budget


def _load(model: str, precision: Precision | None, device: str) -> _Loaded:
    for library in ("transformers", "torchvision"):
        if importlib.util.find_spec(library) is None:
            raise DraftError(
                "extra-missing", f"{library} is not installed; pip install 'medsiglip[medgemma]' has it."
            )
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    place = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    chosen = precision or ("bfloat16" if place.startswith("cuda") else "float32")
    folder = str(Path(model).expanduser())
    source = folder if Path(folder).is_dir() else model
    try:
        if Path(source).is_dir() and not (Path(source) / "config.json").is_file():
            raise FileNotFoundError(source)
        processor = AutoProcessor.from_pretrained(source)  # type: ignore[no-untyped-call]
        with _memory_watched(model):
            network: Any = AutoModelForImageTextToText.from_pretrained(source, dtype=getattr(torch, chosen))
            network = network.to(place).eval()
    except OSError:
        raise DraftError(
            "generator-model-unknown",
            f"There is no checkpoint {model} to load; give a folder that holds one, or a hub id that this "
            "machine may read.",
        ) from None
    except (ValueError, KeyError, ImportError, RuntimeError) as error:
        raise DraftError(
            "generator-failed",
            f"The checkpoint {model} cannot be loaded ({type(error).__name__}); it must be one of pictures "
            "and text, complete, with its processor, and its device must be there.",
        ) from None
    ends = network.generation_config.eos_token_id
    return _Loaded(model, processor, network, frozenset([ends] if isinstance(ends, int) else ends or ()))


def _inputs(loaded: _Loaded, prompt: Prompt) -> Any:
    """What the checkpoint's chat template and processor make of the prompt: tensors of a batch of one."""
    from jinja2 import TemplateError
    from PIL import Image

    content = [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image", "image": Image.fromarray(part)}
        for part in prompt.parts
    ]
    messages = [{"role": "user", "content": content}]
    if prompt.system:
        messages.insert(0, {"role": "system", "content": [{"type": "text", "text": prompt.system}]})
    try:
        return loaded.processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
    except (ValueError, TypeError, LookupError, TemplateError) as error:
        raise DraftError(
            "generator-failed",
            f"The chat template and processor of {loaded.model} cannot take texts and pictures "
            f"({type(error).__name__}); use those that the checkpoint came with.",
        ) from None


@contextmanager
def _memory_watched(model: str) -> Iterator[None]:
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        raise DraftError(
            "generator-out-of-memory",
            f"There is not enough memory for {model}; show fewer pictures, or end what else runs there.",
            may_pass=True,
        ) from None


@lru_cache(maxsize=1)
def _configured(settings: GeneratorSettings) -> LocalPipeline:
    """Make the pipeline of a configured generator, and keep it with its model until another is made."""
    own = dict(settings.own)
    options = LocalOptions(own.get("device", "auto"), own.get("precision"))
    return LocalPipeline(settings.model, settings.budget, options)


KIND = GeneratorKind(
    "local",
    {"device": str, "precision": str},
    _configured,
    checks={"precision": checked_precision},
    in_process=True,
)

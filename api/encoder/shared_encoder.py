"""`SharedEncoder`: one model for all threads of a server, in a process of its own.

It has the methods of `medsiglip.encoder.Encoder` and returns the same vectors. Concurrent calls share passes
through the model (`medsiglip.api.encoder.request_batching`); the process that holds the model is watched, and
replaced when it ends or hangs. This process never imports torch.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import islice
from math import ceil

import numpy as np
from numpy.typing import NDArray

from medsiglip.api.encoder.child import EncoderChild, ImagePlaces, Start
from medsiglip.api.encoder.request_batching import BatchQueue, Kind, Request
from medsiglip.api.encoder.supervisor import EncoderState, EncoderSupervisor, shutting_down
from medsiglip.api.errors import ServiceError
from medsiglip.checkpoint import Checkpoint
from medsiglip.encoder_input import check_images, check_texts, token_ids
from medsiglip.errors import ItemError, ModelError
from medsiglip.preprocess import DEFAULT_PROFILE, PROFILES
from medsiglip.tokenizer import Tokenizer

Images = NDArray[np.uint8] | Sequence[NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class EncoderLimits:
    """Limits of the queue, in items and in bytes of images, and of times in seconds.

    A call for more than a quarter of the queue is split. On a slow device a pass through the model has fewer
    items, so that it takes no longer than `pass_seconds`. `texts` is the number of texts whose vectors are
    cached.
    """

    items: int = 1024
    image_bytes: int = 512 << 20
    pass_seconds: float = 1.0
    texts: int = 4096
    start_seconds: float = 600.0
    hang_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class EncoderStatistics:
    """Counts since the start. `batches` counts batches by kind and size, `seconds` is the time that the
    device worked, `waiting` the items that wait or are being encoded, `gpu_memory` bytes, if there is a GPU.
    """

    state: EncoderState
    restarts: int
    batches: Mapping[Kind, Mapping[int, int]]
    seconds: float
    waiting: int
    waiting_limit: int
    refused: int
    failed: int
    texts_kept: int
    gpu_memory: int | None


class SharedEncoder:
    """A checkpoint ready to encode on one device, for any number of threads.

    A call is refused when too much is waiting; one that was accepted ends with its vectors or an error.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        profile: str = DEFAULT_PROFILE,
        device: str = "auto",
        precision: str = "float32",
        batch_size: int | None = None,
        limits: EncoderLimits | None = None,
    ) -> None:
        """Start the process, without waiting for it. Raises `ModelError`: `unknown-profile`,
        `bad-tokenizer`.
        """
        if profile not in PROFILES:
            raise ModelError(
                "unknown-profile", f"There is no profile {profile!r}; choose one of {', '.join(PROFILES)}."
            )
        self.checkpoint = checkpoint
        self.profile = profile
        self.precision = precision
        self.dimension = checkpoint.dimension
        self.image_size = checkpoint.image_size
        self.tokenizer = Tokenizer(checkpoint.spiece_path, checkpoint.context_length)
        self.limits = limits or EncoderLimits()
        places = min(self.limits.items, self.limits.image_bytes // (3 * self.image_size**2))
        self._places = ImagePlaces(max(places, 4), self.image_size)
        self._queue: BatchQueue[EncoderChild] = BatchQueue(
            self._places.count, self._places.release, self.limits.pass_seconds
        )
        self._texts = TextCache(self.limits.texts)
        options = {"profile": profile, "device": device, "precision": precision, "batch_size": batch_size}
        start = Start(
            checkpoint, options, self._places.descriptor, self._places.count, self.limits.hang_seconds
        )
        self._supervisor = EncoderSupervisor(start, self._queue, self.limits.start_seconds)
        self._is_patient = False

    @property
    def patient(self) -> SharedEncoder:
        """The same encoder for long-running work: its calls wait for room where others are refused."""
        patient = copy(self)
        patient._is_patient = True
        return patient

    def encode_images(self, images: Images) -> NDArray[np.float32]:
        """Embeddings `[n, d]`, float32 of unit length, of model inputs, uint8 `[n, S, S, 3]`.

        Raises what `Encoder.encode_images` raises, and `ServiceError`: `too-busy`, `encoder-restarting`,
        `shutting-down`, each with the seconds after which to try again.
        """
        return self._encode_images("image", images, self.dimension)

    def encode_patches(self, images: Images) -> NDArray[np.float32]:
        """Parts and tokens of patches, float32 `[n, 2, patches, d]`, as `Encoder.encode_patches` gives them.

        Raises what `encode_images` raises.
        """
        patches = self.checkpoint.architecture.patches
        found = self._encode_images("patches", images, 2 * patches * self.dimension)
        return found.reshape(len(images), 2, patches, self.dimension)

    def _encode_images(self, kind: Kind, images: Images, width: int) -> NDArray[np.float32]:
        """Answers [n, width] to images."""
        check_images(images, self.image_size)
        vectors = np.empty((len(images), width), np.float32)
        for part in self._parts(len(images)):
            self._reserve(len(part), wait=part.start > 0)
            request = Request(kind, self._places.put(images[i] for i in part), width)
            vectors[part.start : part.stop] = self._answer(request, part)
        return vectors

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings `[n, d]`, float32 of unit length; those of recent texts are cached.

        Raises what `Encoder.encode_texts` raises, and `ServiceError` as `encode_images` does.
        """
        check_texts(texts)
        known = self._texts.find(texts)
        missing = {text: i for i, text in reversed(list(enumerate(texts))) if text not in known}
        for part in self._parts(len(missing)):
            chosen = dict(islice(missing.items(), part.start, part.stop))
            positions = list(chosen.values())
            try:
                ids = token_ids(self.tokenizer, list(chosen))
            except ItemError as error:
                raise error.at(positions[error.item]) from None
            self._reserve(len(part), wait=part.start > 0)
            vectors = self._answer(Request("text", ids, self.dimension), positions)
            self._texts.keep(list(chosen), vectors)
            known.update(zip(chosen, vectors, strict=True))
        return np.array([known[text] for text in texts], np.float32).reshape(len(texts), self.dimension)

    @property
    def state(self) -> EncoderState:
        """Whether the model is loaded, and if not, why."""
        return self._supervisor.state

    @property
    def batch_size(self) -> int:
        """Items that pass through the model together; waits until the model is loaded, as do the next three.

        Raises ServiceError `encoder-restarting` when it cannot be loaded.
        """
        return self._supervisor.ready().batch_size

    @property
    def device(self) -> str:
        """What the model runs on."""
        return self._supervisor.ready().device

    @property
    def logit_scale(self) -> float:
        """The checkpoint's scale, exponentiated."""
        return self._supervisor.ready().logit_scale

    @property
    def logit_bias(self) -> float:
        """The checkpoint's bias."""
        return self._supervisor.ready().logit_bias

    @property
    def process_id(self) -> int | None:
        """The id of the process that holds the model, if one runs."""
        return self._supervisor.process_id

    def statistics(self) -> EncoderStatistics:
        """Counts since the start, and the state now."""
        queue, supervisor = self._queue, self._supervisor
        return EncoderStatistics(
            state=supervisor.state,
            restarts=supervisor.restarts,
            batches={kind: dict(sizes) for kind, sizes in queue.counts.sizes.items()},
            seconds=queue.counts.seconds,
            waiting=queue.held,
            waiting_limit=queue.limit,
            refused=queue.counts.refused,
            failed=queue.counts.failed,
            texts_kept=len(self._texts),
            gpu_memory=supervisor.gpu_memory,
        )

    def close(self, seconds: float = 30.0) -> None:
        """Refuse new calls, finish accepted ones for at most `seconds`, and end the process."""
        self._queue.close(seconds)
        self._supervisor.close()
        self._places.close()

    def _parts(self, count: int) -> Iterator[range]:
        step = max(self._queue.limit // 4, 1)
        return (range(low, min(low + step, count)) for low in range(0, count, step))

    def _reserve(self, count: int, *, wait: bool) -> None:
        """Make room for `count` items; parts of a call after the first wait for it."""
        patient = wait or self._is_patient
        if not patient:
            self._supervisor.check()
        if self._queue.reserve(count, patient=patient):
            return
        if self._queue.is_closed:
            raise shutting_down()
        held = self._queue.held
        seconds = float(ceil(max(self._queue.seconds_of_work, 1.0)))
        raise ServiceError(
            "too-busy",
            f"the encoder has {held} images and texts to do, of {self._queue.limit} at most: try again in "
            f"{seconds:.0f} s.",
            seconds,
        )

    def _answer(self, request: Request, positions: Sequence[int]) -> NDArray[np.float32]:
        if not self._queue.put(request):
            raise shutting_down()
        try:
            return request.wait()
        except ItemError as error:
            raise error.at(positions[error.item]) from None


class TextCache:
    """Vectors [d] of the last `limit` texts, because prompt sets come again with every request.

    The text that was not used for longest goes first. Safe for several threads.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._vectors: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, texts: Iterable[str]) -> dict[str, NDArray[np.float32]]:
        """The cached vectors among those of `texts`."""
        found = {}
        with self._lock:
            for text in texts:
                vector = self._vectors.get(text)
                if vector is not None:
                    self._vectors.move_to_end(text)
                    found[text] = vector
        return found

    def keep(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Cache one vector [d] of [n, d] for each text."""
        with self._lock:
            for text, vector in zip(texts, vectors, strict=True):
                self._vectors[text] = vector.copy()
                self._vectors.move_to_end(text)
            while len(self._vectors) > self._limit:
                self._vectors.popitem(last=False)

    def __len__(self) -> int:
        return len(self._vectors)

"""The encoder's process, `python -m medsiglip.api.encoder.process`: reads batches from standard input,
encodes them and writes the results to standard output. Only this process imports torch.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medsiglip.api.encoder.child import Done, Failed, ImagePlaces, Ready, Start, Work
from medsiglip.api.encoder.request_batching import Kind
from medsiglip.errors import ItemError, ModelError
from medsiglip.ingest.workers.messages import receive, send

if TYPE_CHECKING:
    from medsiglip.encoder import Encoder


def _serve(source: BinaryIO, sink: BinaryIO) -> None:
    start: Start = receive(source)
    try:
        encoder = _load(start)
        seconds = _seconds_of_first(encoder)
    except ModelError as error:
        send(sink, Failed(error.code, str(error)))
        return
    except Exception as error:
        send(sink, Failed("encoder-failed", f"the model cannot be loaded ({type(error).__name__}: {error})"))
        return
    places = ImagePlaces(start.places, encoder.image_size, start.descriptor)
    send(
        sink, Ready(encoder.batch_size, str(encoder.device), encoder.logit_scale, encoder.logit_bias, seconds)
    )
    while True:
        work: Work = receive(source)
        # If the parent is gone or stopped, nothing else ends a device that hangs.
        signal.setitimer(signal.ITIMER_REAL, start.hang_seconds + 2.0)
        done = _encode(encoder, places, work)
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        send(sink, done)


def _load(start: Start) -> Encoder:
    from medsiglip.encoder import Encoder

    return Encoder(start.checkpoint, **start.options)


def _seconds_of_first(encoder: Encoder) -> float:
    """Encode an image, so that the first caller does not wait for the set-up of the device."""
    begun = time.monotonic()
    encoder.encode_images(np.zeros((1, encoder.image_size, encoder.image_size, 3), np.uint8))
    return time.monotonic() - begun


def _encode(encoder: Encoder, places: ImagePlaces, work: Work) -> Done:
    """Encode a batch, or, if that fails, each item on its own."""
    contents: Any = work.contents
    encode: Callable[[Any], NDArray[np.float32]] = encoder.encode_tokens
    if work.kind == "image":
        contents, encode = places.at(contents), encoder.encode_images
    elif work.kind == "patches":
        contents, encode = places.at(contents), partial(_encode_patches, encoder)
    begun = time.monotonic()
    failures: dict[int, Exception] = {}
    try:
        vectors = encode(contents)
    except Exception as error:
        _raise_if_device_is_lost(error)
        vectors, failures = _one_by_one(encode, contents, work.kind, _width(encoder, work.kind))
    return Done(vectors, failures, time.monotonic() - begun, encoder.batch_size, _gpu_memory(encoder))


def _encode_patches(encoder: Encoder, images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    return encoder.encode_patches(images).reshape(len(images), -1)


def _width(encoder: Encoder, kind: Kind) -> int:
    """Numbers of one answer."""
    patches = encoder.checkpoint.architecture.patches
    return 2 * patches * encoder.dimension if kind == "patches" else encoder.dimension


def _one_by_one(
    encode: Callable[[Any], NDArray[np.float32]], contents: Any, noun: str, dimension: int
) -> tuple[NDArray[np.float32], dict[int, Exception]]:
    vectors = np.zeros((len(contents), dimension), np.float32)
    failures: dict[int, Exception] = {}
    for i in range(len(contents)):
        try:
            vectors[i] = encode(contents[i : i + 1])[0]
        except ModelError as error:
            failures[i] = error
        except Exception as error:
            _raise_if_device_is_lost(error)
            message = f"The model fails on {noun} {{item}} ({type(error).__name__}); leave it out."
            failures[i] = ItemError("encoding-failed", message, i)
    return vectors, failures


def _raise_if_device_is_lost(error: Exception) -> None:
    """A GPU that has failed once fails at everything that follows, until its process is restarted."""
    import torch

    if isinstance(error, torch.AcceleratorError):
        raise error


def _gpu_memory(encoder: Encoder) -> int | None:
    import torch

    return torch.cuda.memory_reserved(encoder.device) if encoder.device.type == "cuda" else None


def _end_with_parent(source: BinaryIO) -> None:
    """Wait until the other end of `source` is closed, then exit at once."""
    poll = select.poll()
    poll.register(source, 0)
    poll.poll()
    os._exit(0)


def main() -> None:
    """Serve until standard input ends. Output that libraries print is kept off the pipe."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the parent decides when to stop
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    sink = os.fdopen(os.dup(1), "wb", buffering=0)
    source = os.fdopen(os.dup(0), "rb", buffering=0)
    silent = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silent, descriptor)
    threading.Thread(target=_end_with_parent, args=(source,), daemon=True).start()
    with suppress(EOFError, BrokenPipeError):
        _serve(source, sink)


if __name__ == "__main__":
    main()

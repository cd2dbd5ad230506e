"""Pictures served to 32 clients, one a request, against the encoder alone in batches of 16.

The model has random weights and the size of ViT-S/16 at 224 pixels: 0.1 s a picture on the one core that it
has on both sides, so that encoding dominates as it does with MedSigLIP, which would take minutes a round. The
service, `medsiglip serve` as it is, has further processes that answer and render; what they cost on the other
core shows only where they make the model wait.
"""

from pathlib import Path

import numpy as np

from benchmarks.measure import Outcome, alternate
from benchmarks.radiographs import radiograph_pictures
from benchmarks.random_checkpoint import write_checkpoint
from benchmarks.served import difference, embedding_requests, request_vectors, serving
from medsiglip.encoder import Encoder
from medsiglip.preprocess import to_model_input

TITLE = "served images/s with 32 clients ÷ direct batches of 16"
GOAL = 0.90
GUARD = "every served vector is the direct one, but for rounding"
IMAGES, SIZE, CLIENTS = 64, 224, 32


def measure(folder: Path, rounds: int) -> Outcome:
    checkpoint = write_checkpoint(folder / "checkpoint", width=384, layers=12, image_size=SIZE)
    encoder = Encoder(checkpoint, device="cpu", batch_size=16)
    pictures = radiograph_pictures(IMAGES, SIZE)
    inputs = np.stack([to_model_input(picture, SIZE) for picture in pictures])
    requests = embedding_requests(pictures)
    with serving(checkpoint.folder, folder / "home") as port:
        failure = difference(request_vectors(port, requests, CLIENTS), encoder.encode_images(inputs))
        if failure:
            return Outcome(TITLE, GOAL, GUARD, IMAGES, failure=failure)
        ours, peer = alternate(
            lambda: request_vectors(port, requests, CLIENTS),
            lambda: encoder.encode_images(inputs),
            rounds,
            warm_ups=0,
        )
    return Outcome(TITLE, GOAL, GUARD, IMAGES, ours, peer)

"""Pictures served to 32 clients by `medsiglip serve`, against a route that encodes each by itself.

The model is the bundled one. On a processor a large model takes as long for each picture of a batch as for
one alone; a pass of this one has a cost of its own, as every pass has on a GPU. The peer's route is a
plain function in FastAPI's threads that may use all cores at once; ours has one for the model, checks what
is sent and renders it in processes of its own.
"""

from pathlib import Path

from benchmarks.measure import Outcome, alternate
from benchmarks.radiographs import radiograph_pictures
from benchmarks.served import difference, embedding_requests, request_vectors, serving, serving_alone
from medsiglip.checkpoint import open_checkpoint

TITLE = "served by shared passes ÷ a FastAPI route that encodes each request alone"
GOAL = 2.0
GUARD = "both serve the same vectors, but for rounding"
IMAGES, CLIENTS = 640, 32


def measure(folder: Path, rounds: int) -> Outcome:
    checkpoint = open_checkpoint("tiny")
    requests = embedding_requests(radiograph_pictures(IMAGES, checkpoint.image_size))
    place = checkpoint.folder
    with serving(place, folder / "home") as shared, serving_alone(place) as alone:
        failure = difference(
            request_vectors(shared, requests, CLIENTS), request_vectors(alone, requests, CLIENTS)
        )
        if failure:
            return Outcome(TITLE, GOAL, GUARD, IMAGES, failure=failure)
        ours, peer = alternate(
            lambda: request_vectors(shared, requests, CLIENTS),
            lambda: request_vectors(alone, requests, CLIENTS),
            rounds,
            warm_ups=0,
        )
    return Outcome(TITLE, GOAL, GUARD, IMAGES, ours, peer)

"""Services in processes of their own, and clients that request the vectors of pictures."""

import base64
import http.client
import io
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.measure import medsiglip

START_SECONDS = 60.0


def embedding_requests(pictures: npt.NDArray[np.uint8]) -> list[bytes]:
    """One JSON body for each picture [n, H, W], which travels as PNG."""
    return [
        json.dumps({"model": "", "encoding_format": "base64", "input": [{"image": _data_uri(one)}]}).encode()
        for one in pictures
    ]


def _data_uri(picture: npt.NDArray[np.uint8]) -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


@contextmanager
def serving(checkpoint: Path, home: Path) -> Iterator[int]:
    """The port of `medsiglip serve` on a home, when it is ready; the model has one thread."""
    command = medsiglip(home, "serve", "--port", "0", "--no-worker", model=str(checkpoint))
    with _process(command) as process:
        assert process.stdout is not None
        port = int(json.loads(process.stdout.readline())["url"].rpartition(":")[2])
        _wait_for(port, "/readyz", process)
        yield port


@contextmanager
def serving_alone(checkpoint: Path) -> Iterator[int]:
    """The port of the peer of `benchmarks.embedding_server`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.embedding_server", str(checkpoint), str(port)]
    with _process(command) as process:
        _wait_for(port, "/openapi.json", process)
        yield port


@contextmanager
def _process(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def _wait_for(port: int, path: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.1)
    raise RuntimeError("the service does not start")


def post_json(connection: http.client.HTTPConnection, path: str, body: bytes) -> Any:
    """The JSON answer to a question. A connection that the server closed meanwhile, as it does after seconds
    without a request, is opened again once.
    """
    headers = {"Content-Type": "application/json"}
    try:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
    except (ConnectionError, http.client.NotConnected, http.client.CannotSendRequest):
        connection.close()  # the next request opens it
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise RuntimeError(f"the service answers {response.status}: {content[:200]!r}")
    return json.loads(content)


def request_vectors(port: int, requests: Sequence[bytes], clients: int) -> npt.NDArray[np.float32]:
    """The vectors [n, d] of single requests, sent by so many clients that each wait for their answers."""
    numbers = iter(range(len(requests)))
    vectors: list[npt.NDArray[np.float32]] = [np.empty(0, np.float32)] * len(requests)

    def client(_: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120.0)
        for number in numbers:  # an iterator of a range yields each number once to all threads
            [answer] = post_json(connection, "/v1/embeddings", requests[number])["data"]
            vectors[number] = np.frombuffer(base64.b64decode(answer["embedding"]), np.float32)
        connection.close()

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    return np.stack(vectors)


def difference(ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32]) -> str | None:
    """How the vectors differ, if by more than rounding."""
    greatest = float(np.abs(ours - theirs).max())
    return f"vectors differ by {greatest:.1e}" if greatest > 1e-5 else None

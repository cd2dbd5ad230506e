"""Files to searchable, ours against Orthanc, which stores and indexes what four clients upload over REST.

Ours adds decoding, rendering and an embedding with the bundled model, which is loaded beforehand, as Orthanc
is started beforehand. Orthanc runs on a loopback port with a folder of its own and its default SQLite index.
"""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path

import httpx
from pydicom import dcmread

from benchmarks.measure import Outcome, timed
from benchmarks.radiographs import NAME, write_radiographs
from medsiglip.api.archive.archive import Archive
from medsiglip.index.records import Hit

TITLE = "ingest to searchable, instances/s ÷ Orthanc REST upload with 4 clients"
GOAL = 1.2
GUARD = "both hold every SOP Instance UID, and ours finds each image by its vector"
FILES, SIZE, CLIENTS = 1000, 512, 4
START_SECONDS = 30.0


def measure(folder: Path, rounds: int) -> Outcome:
    program = shutil.which("Orthanc") or shutil.which("orthanc")
    if program is None:
        reason = "Orthanc is not installed (Debian: apt install orthanc)"
        return Outcome(TITLE, GOAL, GUARD, FILES, skipped=reason)
    paths = write_radiographs(folder / NAME, FILES, SIZE)
    uids = {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in paths}
    number = count()
    ours: list[float] = []
    peer: list[float] = []
    with Archive(folder / "warm", model="tiny") as warm:
        encoder = warm.encoder
    for turn in range(rounds + 1):
        place = folder / f"round-{next(number)}"
        with Archive(place / "ours", model="tiny") as archive:
            archive.__dict__["encoder"] = encoder
            seconds, report = timed(partial(archive.ingest, [folder / NAME]))
            missing = uids - {image.sop_instance_uid for image in _found(archive)}
        if missing or report["files_embedded"] != FILES:
            return Outcome(TITLE, GOAL, GUARD, FILES, failure=f"ours lacks {len(missing)} instances")
        with _orthanc(program, place) as address:
            theirs, _ = timed(partial(_upload, address, paths))
            held = _held(address)
        if uids - held:
            return Outcome(TITLE, GOAL, GUARD, FILES, failure=f"Orthanc lacks {len(uids - held)} instances")
        shutil.rmtree(place)
        if turn:  # the first is the warm-up
            ours.append(seconds)
            peer.append(theirs)
    return Outcome(TITLE, GOAL, GUARD, FILES, ours, peer)


def _found(archive: Archive) -> list[Hit]:
    """For every vector the nearest image, which is its own."""
    table = archive.index.table()
    found = archive.index.search(table.vectors, k=1)
    return [hits[0] for hits in found if hits and hits[0].score > 0.999]


@contextmanager
def _orthanc(program: str, folder: Path) -> Iterator[str]:
    """Orthanc with nothing in it, until the end; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    configuration = {
        "StorageDirectory": str(folder / "orthanc"),
        "IndexDirectory": str(folder / "orthanc"),
        "HttpBindAddresses": ["127.0.0.1"],
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": False,
        "Plugins": [],
    }
    (folder / "orthanc").mkdir(parents=True)
    (folder / "orthanc.json").write_text(json.dumps(configuration), "utf-8")
    server = subprocess.Popen(
        [program, str(folder / "orthanc.json")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(address, server)
        yield address
    finally:
        server.terminate()
        server.wait(30)


def _wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            httpx.get(f"{address}/system", timeout=2).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("Orthanc did not start")


def _upload(address: str, paths: list[Path]) -> None:
    def client(number: int) -> None:
        with httpx.Client(timeout=60) as http:
            for path in paths[number::CLIENTS]:
                _send(http, f"{address}/instances", path.read_bytes())

    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(client, range(CLIENTS)))


def _send(http: httpx.Client, url: str, content: bytes) -> None:
    try:
        answer = http.post(url, content=content)
    except httpx.RemoteProtocolError:  # Orthanc closed the connection meanwhile; what it has it takes again
        answer = http.post(url, content=content)
    answer.raise_for_status()


def _held(address: str) -> set[str]:
    instances = httpx.get(f"{address}/instances", params={"expand": ""}, timeout=60).json()
    return {instance["MainDicomTags"]["SOPInstanceUID"] for instance in instances}

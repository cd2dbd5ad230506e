"""Connecting to Ray: one on this machine that lives as long as the run, or a cluster that is there.

Ray is imported where it is used. It reports no usage, and has no dashboard where this starts it.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import tempfile
import warnings
from contextlib import suppress
from typing import Any

from medsiglip.ingest.errors import IngestError
from medsiglip.ingest.workers.pool import usual_workers

HERE = "ray"
_ADDRESS = re.compile(r"ray://[A-Za-z0-9.\[\]:-]{1,255}:[0-9]{1,5}")
# Blocks between rendering and encoding; beyond it Ray writes them to its temporary folder.
_STORE_BYTES = 1 << 30
# A machine with much else to do starts a node too slowly for Ray, which then ends it.
_STARTS = 3
_CONNECT_S = 10.0
# Names of sockets may have 107 bytes, of which Ray takes about 65.
_LONGEST_FOLDER = 40


def names_ray(engine: str) -> bool:
    """Whether an engine's name is `ray`, or the address of a cluster, `ray://HOST:PORT`."""
    return engine == HERE or _ADDRESS.fullmatch(engine) is not None


class RayCluster:
    """The connection of a run: with `ray` to a Ray of its own, or the one that RAY_ADDRESS names; else to the
    server for clients at `ray://HOST:PORT`.
    """

    def __init__(self, engine: str, workers: int | None) -> None:
        self._engine = engine
        self._workers = workers
        self._folder: str | None = None
        self._is_ours = False

    def connect(self) -> Any:
        """The module `ray`, connected. Raises `IngestError` `no-ray`, `ray-unreachable`."""
        ray = import_ray()
        if ray.is_initialized():  # by the program that this is a part of
            return ray
        quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
        address = os.environ.get("RAY_ADDRESS") if self._engine == HERE else self._engine
        if address is None:
            self._start(ray, quiet)
        else:
            self._reach(ray, address, quiet)
        self._is_ours = True
        return ray

    def _reach(self, ray: Any, address: str, quiet: dict[str, Any]) -> None:
        try:
            _require_port(address)
            with warnings.catch_warnings(action="ignore"):  # what they say is in the error
                ray.init(address, **quiet)
        except Exception as error:  # of any sort: of gRPC, of Ray, of the operating system
            raise IngestError(
                "ray-unreachable",
                f"The Ray cluster at {address} cannot be reached ({type(error).__name__}): check that it "
                "runs Ray 2.60 and Python of this version, serves clients at this port, and that "
                "RAY_AUTH_TOKEN is the same here.",
            ) from None

    def _start(self, ray: Any, quiet: dict[str, Any]) -> None:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # for no other user of this machine
        asked = self._workers or usual_workers()
        for attempt in range(1, _STARTS + 1):
            self._folder = _private_folder()
            try:
                ray.init(
                    "local",
                    num_cpus=max(asked, 2),
                    include_dashboard=False,
                    object_store_memory=_STORE_BYTES,
                    _temp_dir=self._folder,
                    **quiet,
                )
                return
            except Exception as error:
                self._end(ray)
                if attempt == _STARTS:
                    raise IngestError(
                        "ray-unreachable",
                        f"Ray cannot be started on this machine ({type(error).__name__}): look whether memory"
                        " or processors are short, or ingest with --engine local.",
                    ) from None

    def close(self) -> None:
        """End the connection, and what was started here; safe to call again."""
        if self._is_ours:
            self._is_ours = False
            self._end(import_ray())

    def _end(self, ray: Any) -> None:
        with suppress(Exception):  # a cluster that is gone cannot be left
            ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def import_ray() -> Any:
    """The module `ray`. Raises `IngestError` `no-ray`."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
        import ray.data
        import ray.util.client  # needs grpcio
    except ImportError:
        raise IngestError(
            "no-ray", "An ingest on Ray needs the extra `ray`: pip install 'medsiglip[ray]'."
        ) from None
    return ray


def _require_port(address: str) -> None:
    """Raise OSError where nothing listens at `ray://HOST:PORT`: Ray would try for 45 seconds."""
    if _ADDRESS.fullmatch(address) is not None:
        host, _, port = address.removeprefix("ray://").rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S):
            pass


def _private_folder() -> str:
    """A folder of this user alone: Ray writes model inputs there when its memory is full."""
    folder = tempfile.mkdtemp(prefix="medsiglip-ray-")
    if len(folder) <= _LONGEST_FOLDER:
        return folder
    os.rmdir(folder)
    return tempfile.mkdtemp(prefix="medsiglip-ray-", dir="/tmp")

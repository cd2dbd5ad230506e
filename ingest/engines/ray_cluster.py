"""Connecting to Ray: one on this machine that lives as long as the run, or a cluster that is there.

Ray is imported where it is used. It reports no usage, and has no dashboard where this starts it.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from medsiglip.ingest.child_process import importing_safely
from medsiglip.ingest.engines.ray_folder import RayFolder
from medsiglip.ingest.errors import IngestError
from medsiglip.ingest.workers.pool import usual_workers

HERE = "ray"
_ADDRESS = re.compile(r"ray://[A-Za-z0-9.\[\]:-]{1,255}:[0-9]{1,5}")
# Blocks between rendering and encoding; beyond it Ray writes them to its temporary folder.
_STORE_BYTES = 1 << 30
# A machine with much else to do starts a node too slowly for Ray, which then ends it.
_STARTS = 3
_CONNECT_S = 10.0
# Ray's own tokens: whoever has none of the cluster's is refused where the mode says so, and only there.
_MODE, _TOKEN, _TOKEN_FILE = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"


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
        self._folder: RayFolder | None = None
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
            if "://" not in address:
                quiet["job_config"] = _without_current_folder()
            with _own_process_kept(), warnings.catch_warnings(action="ignore"):  # they are in the error
                _init(ray, address, quiet)
        except Exception as error:  # of any sort: of gRPC, of Ray, of the operating system
            raise IngestError(
                "ray-unreachable",
                f"The Ray cluster at {address} cannot be reached ({type(error).__name__}): check that it "
                "runs Ray 2.60 and Python of this version, serves clients at this port, and that its "
                "RAY_AUTH_TOKEN and RAY_AUTH_MODE are the same here.",
            ) from None

    def _start(self, ray: Any, quiet: dict[str, Any]) -> None:
        if not _has_token():
            os.environ[_TOKEN] = secrets.token_hex(32)  # no other user of this machine may use it
        asked = self._workers or usual_workers()
        for attempt in range(1, _STARTS + 1):
            self._folder = RayFolder()
            try:
                with _own_process_kept():
                    ray.init(
                        "local",
                        num_cpus=max(asked, 2),
                        include_dashboard=False,
                        object_store_memory=_STORE_BYTES,
                        job_config=_without_current_folder(),
                        _temp_dir=str(self._folder.path),
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
        if self._is_ours or self._folder is not None:  # a start may have been interrupted
            self._is_ours = False
            self._end(import_ray())

    def _end(self, ray: Any) -> None:
        with suppress(Exception):  # a cluster that is gone cannot be left
            ray.shutdown()
        if self._folder is not None:
            self._folder.close()
            self._folder = None


def import_ray() -> Any:
    """The module `ray`, which asks for tokens where one is given. Raises `IngestError` `no-ray`."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if _has_token() and "ray" not in sys.modules:  # it reads the mode when it is imported
        os.environ.setdefault(_MODE, "token")
    try:
        import ray
        import ray.data
        import ray.util.client  # needs grpcio
    except ImportError:
        raise IngestError(
            "no-ray", "An ingest on Ray needs the extra `ray`: pip install 'medsiglip[ray]'."
        ) from None
    return ray


def _init(ray: Any, address: str, options: dict[str, Any]) -> None:
    """Connect. The process that a head starts for a client may end at once on a machine with much to do."""
    for attempt in range(1, _STARTS + 1):
        try:
            ray.init(address, **options)
            return
        except ConnectionAbortedError:
            if attempt == _STARTS:
                raise
            with suppress(Exception):
                ray.shutdown()


def _has_token() -> bool:
    return bool(os.environ.get(_TOKEN) or os.environ.get(_TOKEN_FILE))


def _without_current_folder() -> Any:
    """A job of which Ray's processes import nothing from the folder that this process is in."""
    from ray.job_config import JobConfig

    return JobConfig(_client_job=True)


@contextmanager
def _own_process_kept() -> Iterator[None]:
    """Connecting takes SIGTERM for Ray, which would end this process anywhere: it gets its handler back. What
    Ray starts imports as our own children do.
    """
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with importing_safely():
            yield
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _require_port(address: str) -> None:
    """Raise OSError where nothing listens at `ray://HOST:PORT`: Ray would try for 45 seconds."""
    if _ADDRESS.fullmatch(address) is not None:
        host, _, port = address.removeprefix("ray://").rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S):
            pass

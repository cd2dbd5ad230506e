"""A Milvus server of the tests' own, with its data in a folder, which is killed and comes back.

The programs come from PyPI's `milvus` (make rule `milvus-server`): Milvus 2.3.5 with an etcd and a message
queue inside. It has no setting for the address to listen on.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.request import urlopen

from tests.repository import ROOT

ENVIRONMENT = ROOT / ".venv-milvus"
BUILT_BY = "make milvus-server"
_SLOT = re.compile(r"\{\{\s*(\w+)(?:\(\w+\))?(?::\s*([^}]*?))?\s*\}\}")
_PATIENCE_S = 120.0
# Milliseconds between looks of the coordinator, for which a client waits: a tenth of their defaults.
_QUICK = {
    "checkChannelInterval": 100,
    "checkSegmentInterval": 100,
    "checkIndexInterval": 1000,
    "checkInterval": 100,
    "distPullInterval": 50,
}


def find_server() -> Path | None:
    """The folder with the server's template and programs, None where it was not built."""
    found = sorted(ENVIRONMENT.glob("lib/python*/site-packages/milvus/data"))
    return found[-1] if found and (ENVIRONMENT / "server" / "bin" / "milvus").is_file() else None


class MilvusServer:
    """One server whose data lie in `folder`; it keeps its ports when it is started again.

    `settings` are names and values of the template's slots. A `quick` one lets clients wait less than by
    default: for a write to show, for a collection to be loaded, and for itself after a kill.
    """

    def __init__(
        self,
        programs: Path,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        *,
        quick: bool = True,
    ) -> None:
        self._programs = programs
        self._folder = folder
        self._settings = dict(settings or {})
        self._quick = quick
        self._ports: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """Where clients are answered."""
        return self._ports["proxy_port"]

    @property
    def url(self) -> str:
        """As the setting `vector_url` has it."""
        return f"milvus://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process of the server that runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the server; it answers when this returns."""
        self._write_settings()
        binaries = ENVIRONMENT / "server" / "bin"
        environment = os.environ | {
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self._port("metrics")),
            "MILVUS_RUN_DIR": str(self._folder / "run"),
            "LD_LIBRARY_PATH": str(binaries),
        }
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [binaries / "milvus", "run", "standalone"],
                cwd=self._folder,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait()

    def kill(self) -> None:
        """End the server as a power cut would; nothing if it does not run."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """End the server as a power cut would, and start it again."""
        self.kill()
        self.start()

    def _wait(self) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        health = f"http://127.0.0.1:{self._port('metrics')}/healthz"
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError(f"Milvus ended: {self._last_words()}")
            try:
                with urlopen(health, timeout=5) as answer:
                    if b"OK" in answer.read():
                        return
            except OSError:
                pass
            time.sleep(0.05)
        raise TimeoutError(f"Milvus does not start: {self._last_words()}")

    def _last_words(self) -> str:
        return (self._folder / "log").read_bytes()[-2000:].decode(errors="replace")

    def _port(self, name: str) -> int:
        if name not in self._ports:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self._ports[name] = free.getsockname()[1]
        return self._ports[name]

    def _write_settings(self) -> None:
        configs = self._folder / "configs"
        configs.mkdir(parents=True, exist_ok=True)
        (self._folder / "logs").mkdir(exist_ok=True)
        values = {
            "etcd_log_path": str(self._folder / "logs" / "etcd.log"),
            "etcd_log_level": "error",
            "etcd_data_dir": str(self._folder / "etcd.data"),
            "local_storage_dir": str(self._folder / "data"),
            "rocksmq_data_dir": str(self._folder / "rocksmq"),
            "system_log_path": "",
            **self._settings,
        }

        def filled(slot: re.Match[str]) -> str:
            name, default = slot[1], slot[2]
            return str(self._port(name)) if name.endswith("_port") else values.get(name, default or "")

        text = _SLOT.sub(filled, (self._programs / "config.yaml.template").read_text("utf-8"))
        # What the template has no slot for.
        text = re.sub(r"^  ip:.*$", "  ip: 127.0.0.1", text, flags=re.MULTILINE)
        text = text.replace("etcd:\n", f"etcd:\n  config:\n    path: {configs / 'etcd.yaml'}\n", 1)
        text = text.replace("log:\n  level: info", "log:\n  level: error")
        text = _with_less_waiting(text) if self._quick else text
        (configs / "milvus.yaml").write_text(text, "utf-8")
        (configs / "glog.conf").write_bytes((self._programs / "glog.conf").read_bytes())
        clients, peers = (f"http://127.0.0.1:{self._port(name)}" for name in ("etcd_port", "peers"))
        lines = {
            "name": "default",
            "listen-client-urls": clients,
            "advertise-client-urls": clients,
            "listen-peer-urls": peers,
            "initial-advertise-peer-urls": peers,
            "initial-cluster": f"default={peers}",
        }
        (configs / "etcd.yaml").write_text(
            "".join(f"{key}: {value}\n" for key, value in lines.items()), "utf-8"
        )


def _with_less_waiting(text: str) -> str:
    text = re.sub(r"timeTickInterval: \d+", "timeTickInterval: 20", text)
    text = text.replace("    ttl: 30 ", "    ttl: 3 ")
    text = re.sub(r"^  checkInterval:.*\n", "", text, flags=re.MULTILINE)
    quick = "".join(f"  {name}: {value}\n" for name, value in _QUICK.items())
    return text.replace("queryCoord:\n", f"queryCoord:\n{quick}", 1)

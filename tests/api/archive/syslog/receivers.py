"""Receivers of syslog: rsyslog itself, and a small one that can be stopped in the middle."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RSYSLOGD = shutil.which("rsyslogd") or shutil.which("/usr/sbin/rsyslogd")
_CONFIGURATION = """
module(load="imtcp")
module(load="imudp")
input(type="imtcp" address="127.0.0.1" port="{tcp}")
input(type="imudp" address="127.0.0.1" port="{udp}")
template(name="fields" type="list" option.jsonf="on") {{
  property(outname="pri" name="pri" format="jsonf")
  property(outname="version" name="protocol-version" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
  property(outname="program" name="app-name" format="jsonf")
  property(outname="id" name="msgid" format="jsonf")
  property(outname="at" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="structured" name="structured-data" format="jsonf")
  property(outname="text" name="msg" format="jsonf")
}}
action(type="omfile" file="{out}" template="fields" asyncWriting="off" flushOnTXEnd="on")
"""


@dataclass
class Rsyslog:
    """A running rsyslogd and the file that it writes."""

    tcp: int
    udp: int
    out: Path

    def received(self, count: int) -> list[dict[str, Any]]:
        """What it wrote, once there are so many or ten seconds have passed."""
        until = time.monotonic() + 10
        while True:
            lines = self.out.read_text().splitlines() if self.out.exists() else []
            if len(lines) >= count or time.monotonic() > until:
                return [json.loads(line) for line in lines]
            time.sleep(0.05)


@contextmanager
def running_rsyslog(folder: Path) -> Iterator[Rsyslog]:
    """rsyslogd on free ports of loopback until the context ends."""
    found = Rsyslog(free_port(), free_port(socket.SOCK_DGRAM), folder / "received")
    configuration = folder / "rsyslog.conf"
    configuration.write_text(_CONFIGURATION.format(tcp=found.tcp, udp=found.udp, out=found.out))
    words = [str(RSYSLOGD), "-n", "-f", str(configuration), "-i", str(folder / "rsyslog.pid")]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _until_it_listens(found.tcp)
        yield found
    finally:
        process.terminate()
        process.wait(10)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _until_it_listens(port: int) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError("rsyslogd does not listen")


@dataclass
class SmallReceiver:
    """Reads octet-counted messages (RFC 6587, section 3.4.1); `dies_after` bytes it resets the connection."""

    port: int
    dies_after: int | None = None
    contents: list[bytes] = field(default_factory=list)

    def messages(self) -> list[bytes]:
        """The messages of all connections that came to their end."""
        found = []
        for content in self.contents:
            rest = content
            while rest:
                size, _, rest = rest.partition(b" ")
                found.append(rest[: int(size)])
                rest = rest[int(size) :]
        return found


@contextmanager
def small_receiver(context: ssl.SSLContext | None = None, port: int = 0) -> Iterator[SmallReceiver]:
    """A receiver until the context ends; by TLS where a context is given."""
    with socket.create_server(("127.0.0.1", port)) as server:
        server.settimeout(0.1)
        receiver = SmallReceiver(int(server.getsockname()[1]))
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                with suppress(TimeoutError):
                    line, _ = server.accept()
                    with suppress(OSError):
                        _take(receiver, line, context)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield receiver
        finally:
            ended.set()
            thread.join()


def _take(receiver: SmallReceiver, plain: socket.socket, context: ssl.SSLContext | None) -> None:
    plain.settimeout(5)
    line = plain if context is None else context.wrap_socket(plain, server_side=True)
    content = b""
    with line:
        while piece := line.recv(65536):
            content += piece
            if receiver.dies_after is not None and len(content) >= receiver.dies_after:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                return  # with a reset, as of a killed process
        receiver.contents.append(content)
        if isinstance(line, ssl.SSLSocket):
            line.unwrap()

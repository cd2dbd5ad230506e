"""What a DICOMweb service is told to let us in: a token from a file or a command, or name and password."""

from __future__ import annotations

import base64
import os
import selectors
import shlex
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from medsiglip.ingest.child_process import start_command
from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.connection import Connection

LONGEST_SECRET = 1 << 16
COMMAND_SECONDS = 30.0


class Credentials:
    """The value of the header Authorization (RFC 7617, RFC 6750), kept until the service refuses it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._kept: str | None = None

    def header(self) -> str | None:
        """The value, None where the connection has no credentials. Raises `PacsError` `pacs-refused` where a
        file cannot be read or the command gives nothing.
        """
        if self._kept is None:
            self._kept = self._made()
        return self._kept

    def renewed(self) -> str | None:
        """The value made anew after a refusal, None where it is the one that was refused."""
        former, self._kept = self._kept, None
        made = self.header()
        return None if made == former else made

    def _made(self) -> str | None:
        given = self._connection
        if given.token_file is not None:
            return f"Bearer {self._visible(self._read('token_file', given.token_file), 'token_file')}"
        if given.token_command is not None:
            output = self._output_of(given.token_command)
            return f"Bearer {self._visible(output, 'token_command')}"
        if given.username is not None and given.password_file is not None:
            password = self._read("password_file", given.password_file).rstrip(b"\r\n")
            pair = given.username.encode() + b":" + password
            return f"Basic {base64.b64encode(pair).decode('ascii')}"
        return None

    def _read(self, option: str, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                content = file.read(LONGEST_SECRET + 1)
        except OSError as error:
            raise self._refused(f"its {option} cannot be read ({error.strerror})") from None
        if len(content) > LONGEST_SECRET:
            raise self._refused(f"its {option} holds more than {LONGEST_SECRET} bytes")
        return content

    def _visible(self, content: bytes, option: str) -> str:
        token = content.strip()
        if not token or not all(0x21 <= byte <= 0x7E for byte in token):
            raise self._refused(f"its {option} gives no token: it must be one word of ASCII")
        return token.decode("ascii")

    def _output_of(self, command: str) -> bytes:
        try:
            words = shlex.split(command)
            if not words:
                raise ValueError
            process = start_command(words)
        except (OSError, ValueError):
            raise self._refused("its token_command cannot be started") from None
        with process:
            try:
                output = self._bounded(process)
            finally:
                # The command may have started others, which would hold the pipe open.
                with suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode != 0:
            raise self._refused(f"its token_command ended with {process.returncode}")
        return output

    def _bounded(self, process: subprocess.Popen[bytes]) -> bytes:
        """What a command writes until it ends, which it must soon."""
        assert process.stdout is not None
        deadline = time.monotonic() + COMMAND_SECONDS
        output = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise self._refused(f"its token_command took longer than {COMMAND_SECONDS:.0f} seconds")
                piece = os.read(process.stdout.fileno(), 1 << 16)
                output += piece
                if len(output) > LONGEST_SECRET:
                    raise self._refused(f"its token_command wrote more than {LONGEST_SECRET} bytes")
                if not piece:
                    break
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise self._refused(f"its token_command took longer than {COMMAND_SECONDS:.0f} seconds") from None
        return bytes(output)

    def _refused(self, problem: str) -> PacsError:
        return PacsError("pacs-refused", f"{self._connection.name} cannot be asked: {problem}.")

"""Commands of `medsiglip` in processes that are forked from one that has the libraries loaded already.

A command is a process of its own, with the caller's folder, environment, arguments and open files, but does
not import the same libraries for seconds each time. How the program itself starts is tested elsewhere.

    python forked_commands.py serve SOCKET
    python forked_commands.py run SOCKET [ARGUMENT ...]
"""

from __future__ import annotations

import atexit
import gc
import io
import json
import os
import signal
import socket
import sys
import threading
from contextlib import redirect_stdout
from typing import Any, NoReturn

_LIBRARIES = (
    "alembic",
    "faiss",
    "fastapi",
    "httpx",
    "open_clip",
    "pyarrow.parquet",
    "pydicom",
    "torch",
    "uvicorn",
)
_FORWARDED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_MOST_BYTES = 1 << 20


def serve(path: str) -> None:
    """Load the libraries and every module of the program, then fork for each caller."""
    from importlib import import_module
    from pkgutil import walk_packages

    import medsiglip

    for name in _LIBRARIES:
        import_module(name)
    for module in walk_packages(medsiglip.__path__, "medsiglip."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    with redirect_stdout(io.StringIO()):
        import_module("medsiglip.api.cli.main").main(["--version"])  # builds the tree of commands
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that nothing of the callers is left to wait for
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            caller, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _answer(caller)
            caller.close()


def _answer(caller: socket.socket) -> None:
    """Run one command in a process of its own, and tell the caller its id and how it ended."""
    content, files, _, _ = socket.recv_fds(caller, _MOST_BYTES, 3)
    asked = json.loads(content)
    command = os.fork()
    if command == 0:
        caller.close()
        _become(asked, files)
    caller.sendall(f"{command}\n".encode())
    _, status = os.waitpid(command, 0)
    caller.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(asked: dict[str, Any], files: list[int]) -> NoReturn:
    from medsiglip.api.cli.main import main

    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.FileIO(number, mode, closefd=False), encoding="utf-8", line_buffering=True)
        for number, mode in enumerate(("r", "w", "w"))
    )
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = ["medsiglip", *asked["arguments"]]
    _end(main())


def _end(status: int) -> NoReturn:
    """End as the interpreter does, but leave the modules, of which there are thousands, to the kernel."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(status)


def run(path: str, arguments: list[str]) -> int:
    """Have a command run, hand signals on to it, and return its exit status."""
    asked = {"folder": os.getcwd(), "environment": dict(os.environ), "arguments": arguments}
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        socket.send_fds(server, [json.dumps(asked).encode()], [0, 1, 2])
        told = server.makefile("r")
        command = int(told.readline())
        for number in _FORWARDED:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, lambda number, _frame: os.kill(command, number))
        status = int(told.readline())
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        sys.exit(run(sys.argv[2], sys.argv[3:]))

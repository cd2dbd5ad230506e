"""One run of the command line: its global options, and the two ways to answer, JSON or a table."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer

from medsiglip.answers.paths import shown, shown_values

if TYPE_CHECKING:
    import logging

    from rich.console import Console

    from medsiglip.answers.answer import Answer
    from medsiglip.api.archive.archive import Archive
    from medsiglip.api.cli.presentation.tables import Payload
    from medsiglip.api.settings import Settings, TracedSettings


@dataclass(slots=True)
class Invocation:
    """The options given before the command. `answer_stream` stays the real standard output under --json."""

    home: Path | None = None
    model: str | None = None
    device: str | None = None
    precision: str | None = None
    config: Path | None = None
    json: bool = False
    debug: bool = False
    log: logging.Logger | None = None
    """Where the notes of a service and the error that ends it go."""
    log_is_elsewhere: bool = False
    """Whether that error is shown on standard error too."""
    answer_stream: TextIO = field(default_factory=lambda: sys.stdout)

    def settings(self, **given: Any) -> Settings:
        """The settings of the environment under the options of the command line."""
        from medsiglip.api.settings import read_settings

        return read_settings(self.config, **self._options(), **given)

    def traced_settings(self) -> TracedSettings:
        """The same settings, with the origin of each."""
        from medsiglip.api.settings import trace_settings

        return trace_settings(self.config, **self._options())

    def global_words(self) -> list[str]:
        """The options as words of a command line, for a child process with the same options."""
        given = {**self._options(), "config": self.config}
        words = [word for name, value in given.items() if value for word in (f"--{name}", str(value))]
        return [*words, "--debug"] if self.debug else words

    def _options(self) -> dict[str, Any]:
        return {"home": self.home, "model": self.model, "device": self.device, "precision": self.precision}

    @contextmanager
    def archive(self, **given: Any) -> Iterator[Archive]:
        """The archive that the options and the environment name, closed at the end."""
        from medsiglip.api.archive.archive import Archive

        with Archive.from_settings(self.settings(**given), on_note=self.note) as archive:
            yield archive

    def answer(self, answer: Answer | Payload, show: Callable[[Console, Payload], None]) -> None:
        """Print an answer as one JSON object, or let `show` print it for a person."""
        payload = shown_values(answer if isinstance(answer, Mapping) else answer.to_json())
        if self.json:
            self.answer_stream.write(json.dumps(payload, ensure_ascii=False, allow_nan=False) + "\n")
        else:
            from rich.console import Console

            show(Console(file=self.answer_stream, highlight=False), payload)
        self.answer_stream.flush()

    def remember_list(self, study_instance_uids: Sequence[str]) -> None:
        """After a list of studies on a terminal: let its rows stand for them."""
        if not self.json and self.answer_stream.isatty():
            from medsiglip.api.archive.last_list import remember_list

            remember_list(self.settings().home, study_instance_uids)

    def note(self, text: str) -> None:
        """Print a note on standard error, or log it."""
        if self.log is not None:
            self.log.info("note: %s", shown(text))
            return
        print(f"note: {shown(text)}", file=sys.stderr, flush=True)


def invocation(context: typer.Context) -> Invocation:
    """The run that this command belongs to."""
    found = context.find_object(Invocation)
    assert found is not None
    return found

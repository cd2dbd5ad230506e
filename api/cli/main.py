"""`medsiglip`: the command line. Global options, the tree of commands, and what an error looks like.

Nothing heavy is imported before a command runs, so that `medsiglip --help` answers at once.
"""

from __future__ import annotations

import codecs
import contextlib
import functools
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from medsiglip.answers.paths import shown
from medsiglip.api.cli.commands import (
    audit,
    backups,
    calibration,
    cases,
    catalogue,
    config,
    evaluation,
    ingest,
    keys,
    labels,
    models,
    pictures,
    probes,
    reports,
    routing_rules,
    search,
    service,
    why,
)
from medsiglip.api.cli.commands.invocation import Invocation
from medsiglip.api.cli.commands.mapping import maps
from medsiglip.api.cli.commands.pacs import group as pacs
from medsiglip.api.cli.commands.pacs import receiving
from medsiglip.api.cli.commands.viewers import viewer
from medsiglip.api.errors import Explanation, explain

UsageError: type[Any] = typer.BadParameter.__bases__[0]

app = typer.Typer(
    name="medsiglip",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
TOPICS = (
    ingest,
    search,
    cases,
    why,
    pictures,
    probes,
    evaluation,
    calibration,
    labels,
    maps,
    catalogue,
    keys,
    audit,
    config,
    models,
    service,
    pacs,
    receiving,
    viewer,
)
for topic in (*TOPICS, backups, reports, routing_rules):
    topic.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"medsiglip {version('medsiglip')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(
            help="Folder that holds the archive [MEDSIGLIP_HOME, ~/.local/share/medsiglip].", readable=False
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="tiny, a checkpoint folder or a hub id [MEDSIGLIP_MODEL, the home's own, tiny]."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda [MEDSIGLIP_DEVICE].")] = None,
    precision: Annotated[str | None, typer.Option(help="float32 or bfloat16 [MEDSIGLIP_PRECISION].")] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Settings in TOML [MEDSIGLIP_CONFIG, medsiglip.toml in the home].",
            readable=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks, warnings and logs.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Index folders of DICOM with MedSigLIP, search them by picture, case or text, and teach them labels.

    Not a medical device. These options go before the command; each command's --help shows an example.

    \b
    Start here:  medsiglip demo
    Your folder: medsiglip ingest ~/dicom
    """
    run = context.ensure_object(Invocation)
    run.home, run.model, run.device, run.precision = home, model, device, precision
    run.config = config


@functools.cache
def _commands() -> Any:
    """The tree of commands, which takes longer to build than many a command to run."""
    return typer.main.get_command(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; `arguments` without the program's name. Returns the exit code, and never a traceback
    without --debug.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    run = Invocation(
        json=_has_flag("--json", words), debug=_has_flag("--debug", words), answer_stream=sys.stdout
    )
    _take_all_characters(sys.stdout, as_json=run.json)
    with _quiet(run):
        try:
            code = _commands().main(words, prog_name="medsiglip", standalone_mode=False, obj=run)
            if code == 130:
                return _fail(
                    run,
                    Explanation("interrupted", "stopped; nothing committed is lost, run again to go on"),
                    130,
                )
            run.answer_stream.flush()
            return code if isinstance(code, int) else 0
        except UsageError as error:
            if not run.json:
                error.show(file=sys.stderr)
                return 2
            return _fail(run, Explanation("usage", error.format_message()), 2)
        except typer.Abort:
            return _fail(run, Explanation("interrupted", "stopped before anything was changed"), 1)
        except BrokenPipeError:
            return _leave_broken_pipe()
        except SystemExit as exit_:
            return _leave_broken_pipe() if exit_.code == 1 else int(exit_.code or 0)
        except Exception as error:  # no traceback is shown without --debug
            if run.debug:
                raise
            explanation = explain(error) or _not_text(error, words) or _unexpected(error)
            return _fail(run, explanation, 130 if explanation.code == "interrupted" else 1)


def _has_flag(option: str, words: Sequence[str]) -> bool:
    """Whether a global flag comes before the command; usage errors need it before the options are parsed."""
    taking_value = {"--home", "--model", "--device", "--precision", "--config"}
    remaining = iter(words)
    for word in remaining:
        if word == option:
            return True
        if word in taking_value:
            next(remaining, None)
        elif not word.startswith("-"):
            return False
    return False


@contextlib.contextmanager
def _quiet(run: Invocation) -> Iterator[None]:
    """Keep output of libraries off standard output under --json, and hide their warnings without --debug."""
    with contextlib.ExitStack() as stack:
        if run.json:
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        if not run.debug:
            import logging
            import warnings

            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            logging.disable(logging.CRITICAL)
            stack.callback(logging.disable, logging.NOTSET)
        yield


def _take_all_characters(stream: TextIO, *, as_json: bool) -> None:
    r"""Where the standard output is not UTF-8: JSON is UTF-8 nevertheless, and a person sees `\uNNNN` for a
    character that the terminal does not have.
    """
    if isinstance(stream, io.TextIOWrapper) and codecs.lookup(stream.encoding).name != "utf-8":
        if as_json:
            stream.reconfigure(encoding="utf-8")
        else:
            stream.reconfigure(errors="backslashreplace")


def _not_text(error: Exception, words: Sequence[str]) -> Explanation | None:
    """What to say of a word that was given as a text and holds bytes that are not UTF-8, as paths may."""
    odd = [word for word in words if shown(word) != word]
    if not isinstance(error, UnicodeEncodeError) or not odd:
        return None
    named = " or ".join(odd)
    return Explanation("not-text", f"{named} holds bytes that are not UTF-8, and is no path: correct it")


def _unexpected(error: Exception) -> Explanation:
    return Explanation(
        "unexpected",
        f"unexpected failure ({type(error).__name__}): run again with --debug to see where, and report it",
    )


def _fail(run: Invocation, explanation: Explanation, exit_code: int = 1) -> int:
    message = shown(explanation.message)
    try:
        if run.json:
            error = {"code": explanation.code, "message": message}
            run.answer_stream.write(json.dumps({"error": error}, ensure_ascii=False) + "\n")
            run.answer_stream.flush()
        if run.log is not None:
            run.log.error("error: %s (%s)", message, explanation.code)
        if run.log is None or run.log_is_elsewhere:
            print(f"error: {message} ({explanation.code})", file=sys.stderr, flush=True)
    except BrokenPipeError:
        return _leave_broken_pipe()
    return exit_code


def _leave_broken_pipe() -> int:
    """The reader is gone: redirect standard output, so that the interpreter's last flush does not fail."""
    if sys.__stdout__ is not None:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())
    return 1

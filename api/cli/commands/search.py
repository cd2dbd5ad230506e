"""`search`: similar cases by words, pictures, studies, vectors and examples."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medsiglip.api.cli.commands.cases import STUDY_HELP, Level, named_study
from medsiglip.api.cli.commands.invocation import Invocation, invocation
from medsiglip.api.cli.commands.where import WHERE_HELP, Where

if TYPE_CHECKING:
    from medsiglip.api.archive.archive import Archive

_EXAMPLE = "an image by its id, or a study by its UID; repeatable"
_Most = Annotated[int | None, typer.Option(min=1, metavar="N", help="At most so many hits of each.")]


class Compare(StrEnum):
    """How studies are compared."""

    SETS = "sets"
    MEANS = "means"


def search(
    context: typer.Context,
    text: Annotated[str | None, typer.Option(help="Find images that fit these words.")] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Find images like this one; repeatable.", readable=False),
    ] = None,
    study: Annotated[
        list[str] | None,
        typer.Option(metavar="UID", help=f"Find cases like this study: {STUDY_HELP}; repeatable."),
    ] = None,
    image_id: Annotated[
        list[int] | None, typer.Option(metavar="ID", help="Find images like this stored one; repeatable.")
    ] = None,
    vector: Annotated[
        str | None,
        typer.Option(help="A vector, as a JSON list or in base64 as float32; @FILE reads it from a file."),
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER",
            help="Ask with several of text, image, study and vector at once: the weight of each. Also of "
            "query, positive and negative.",
        ),
    ] = None,
    positive: Annotated[
        list[str] | None, typer.Option(metavar="ID|UID", help=f"Find images like this: {_EXAMPLE}.")
    ] = None,
    negative: Annotated[
        list[str] | None, typer.Option(metavar="ID|UID", help=f"Find images unlike this: {_EXAMPLE}.")
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(
            metavar="X0,Y0,X1,Y1", help="Ask about a region of the image: fractions of its width and height."
        ),
    ] = None,
    words: Annotated[
        str | None, typer.Option(help="Search reports for these words as well, and fuse the two rankings.")
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="How many hits.")] = 10,
    level: Annotated[
        Level | None, typer.Option(help="What a hit stands for [study for --study, else image].")
    ] = None,
    where: Where = None,
    include_same_patient: Annotated[
        bool, typer.Option("--include-same-patient", help="Keep the query's own patient among the hits.")
    ] = False,
    exact: Annotated[
        bool | None,
        typer.Option(
            "--exact/--approximate",
            help="Miss no hit, or save time and perhaps miss some [exact, but for vectors in an engine].",
        ),
    ] = None,
    min_score: Annotated[float | None, typer.Option(help="The lowest score of a hit.")] = None,
    per_patient: _Most = None,
    per_study: _Most = None,
    per_series: _Most = None,
    per_label: _Most = None,
    dedupe: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, help="Collapse hits with at least this cosine with a better one, such as 0.99."
        ),
    ] = None,
    diversity: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Prefer hits that are unlike those above them.")
    ] = 0.0,
    compare: Annotated[
        Compare | None, typer.Option(help="How studies are compared [sets for --study, else means].")
    ] = None,
    cursor: Annotated[
        str | None, typer.Option(help="The next page: `cursor` of the last answer's --json; @FILE reads it.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say how the hits were found.")] = False,
    queries: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Ask several questions: a JSON object a line, as for POST /v1/search.",
            readable=False,
        ),
    ] = None,
) -> None:
    """Find similar cases by words, by a picture or by a study.

    \b
    Example: medsiglip search --text "left pleural effusion" -k 5
             medsiglip search --study 1.2.840.113 --where modality=CR
             medsiglip search --study 3
             medsiglip search --text nodule --image case.dcm --weight text=0.3 --weight image=0.7
    """
    from medsiglip.api.cli.presentation.searches import show_search, show_searches

    run = invocation(context)
    if queries is not None:
        _require_alone(context)
        run.answer(_many(run, queries), show_searches)
        return
    weights = _weights(weight)
    _check_kinds(
        {"--text": text, "--image": image, "--study": study, "--image-id": image_id, "--vector": vector},
        bool(weights),
        alone=bool(words or positive),
    )
    with run.archive() as archive:
        found = archive.search(
            text=text,
            images=image or (),
            studies=_studies(archive, study),
            image_ids=image_id or (),
            vector=_content(vector),
            weights=weights,
            positive=positive or (),
            negative=negative or (),
            crop=None if crop is None else _numbers(crop),
            words=words,
            k=k,
            level=level.value if level else None,
            where=where or (),
            include_same_patient=include_same_patient,
            exact=exact,
            min_score=min_score,
            per_patient=per_patient,
            per_study=per_study,
            per_series=per_series,
            per_label=per_label,
            dedupe=dedupe,
            diversity=diversity,
            compare=compare.value if compare else None,
            cursor=_content(cursor),
            explain=explain,
        )
    run.answer(found, show_search)
    run.remember_list([hit["study_instance_uid"] for hit in found["hits"]])


def _check_kinds(given: Mapping[str, object], are_weighted: bool, *, alone: bool) -> None:
    """Raise an error of usage unless one kind is given, or several with weights, or what stands alone."""
    count = sum(value is not None for value in given.values())
    if count == 1 or (count == 0 and alone) or (count > 1 and are_weighted):
        return
    raise typer.BadParameter(
        f"give exactly one of {', '.join(given)}; or several, and --weight for each; or --positive, --words "
        "or --queries"
    )


def _require_alone(context: typer.Context) -> None:
    """Raise an error of usage if anything was given besides --queries, whose questions say all."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name != "queries" and source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(
                f"{parameter.opts[-1]} is not used with --queries: write it into the questions of the file"
            )


def _studies(archive: Archive, studies: list[str] | None) -> list[str]:
    named = (named_study(archive, one, rows=True) for one in studies or ())
    return [one for one in named if one is not None]


def _weights(given: list[str] | None) -> dict[str, float]:
    weights = {}
    for one in given or ():
        name, _, number = one.partition("=")
        try:
            weights[name.strip()] = float(number)
        except ValueError:
            raise typer.BadParameter(f"--weight {one}: write NAME=NUMBER, such as text=0.7") from None
    return weights


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"--crop {text}: write four numbers, such as 0.25,0.1,0.75,0.6") from None


def _content(text: str | None) -> str | None:
    """A value, or the content of the file that it names after `@`."""
    if text is None or not text.startswith("@"):
        return text
    return Path(text[1:]).expanduser().read_text(encoding="utf-8", errors="replace").strip()


def _many(run: Invocation, file: Path) -> Any:
    """The answers to the questions of a file, which are read as the service reads them."""
    from pydantic import ValidationError

    from medsiglip.api.archive.files import require_pictures
    from medsiglip.api.errors import ServiceError
    from medsiglip.api.http.search_schema import OneSearch

    require_pictures([file])
    asked = []
    lines = file.expanduser().read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            asked.append(OneSearch.model_validate_json(line).arguments())
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(map(str, first["loc"])) or "line"
            raise ServiceError(
                "bad-question", f"{file}, line {number}: {place}: {first['msg']}; correct it."
            ) from None
    with run.archive() as archive:
        return archive.search_many(asked)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=WHERE_HELP)(search)

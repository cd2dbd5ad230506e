"""Cases are ingested: once, as a dry run, or as they arrive in a folder; with report files on request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from medsiglip.answers.cases import IngestReport
from medsiglip.api.archive.drafts.routing_rules import run_routes
from medsiglip.api.archive.files import AnyPath, require_paths
from medsiglip.api.archive.opened import OnNote, OnProgress, OpenedArchive, silent
from medsiglip.api.archive.webhooks import announcing_new_studies
from medsiglip.api.errors import ServiceError
from medsiglip.arguments import several

if TYPE_CHECKING:
    from medsiglip.api.settings import Settings
    from medsiglip.index.records import Holdings
    from medsiglip.ingest.engines.engine import ImageEncoder
    from medsiglip.ingest.privacy.deidentify import Phi
    from medsiglip.ingest.run.file_lines import FileLine
    from medsiglip.ingest.run.pipeline import IngestOptions
    from medsiglip.ingest.run.progress import Progress
    from medsiglip.ingest.run.run_details import RunDetails
    from medsiglip.ingest.units.plan import PlanOptions

_STAGES = {"walk": "finding files", "scan": "reading headers", "embed": "embedding"}


@dataclass(frozen=True, slots=True)
class _Request:
    """`given` are fields of `medsiglip.ingest.run.pipeline.IngestOptions`, those that are not None; `reports`
    are files to write, .csv or .html, where pictures that may name the patient are shown with
    `show_burned_in`.
    """

    paths: Sequence[AnyPath]
    given: dict[str, Any]
    reports: Sequence[AnyPath] = ()
    show_burned_in: bool = False
    report_paths: list[Path] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "report_paths", [Path(p).expanduser().absolute() for p in self.reports])

    def checked_paths(self) -> list[Path]:
        """The paths, after a check of them and of the metadata CSV, for a mistyped one must not leave a home.

        Raises ServiceError `no-such-path`, and `IngestError` for a CSV that cannot be used, or an engine that
        there is not.
        """
        from medsiglip.ingest.engines.choice import LOCAL, require_engine

        require_engine(self.given.get("engine") or LOCAL)
        require_paths(self.paths)
        if self.metadata is not None:
            from medsiglip.ingest.header.metadata import read_metadata

            read_metadata(self.metadata)
        return [Path(path).expanduser() for path in self.paths]

    @property
    def metadata(self) -> Path | None:
        """The metadata CSV, absolute."""
        given = self.given.get("metadata")
        return None if given is None else Path(given).expanduser().absolute()

    def options(self, archive: OpenedArchive) -> IngestOptions:
        """The options of the run, with what the archive's settings say."""
        from medsiglip.ingest.run.pipeline import IngestOptions

        given = {name: value for name, value in self.given.items() if value is not None}
        given.setdefault("workers", archive.settings.workers)
        given.setdefault("engine", archive.settings.ingest_engine)
        return IngestOptions(profile=archive.space.profile, **{**given, "metadata": self.metadata})


def ingest(
    archive: OpenedArchive,
    paths: Sequence[AnyPath],
    *,
    metadata: AnyPath | None = None,
    workers: int | None = None,
    plan: PlanOptions | None = None,
    phi: Phi | None = None,
    engine: str | None = None,
    dry_run: bool = False,
    within: Sequence[Path] | None = None,
    reports: Sequence[AnyPath] = (),
    show_burned_in: bool = False,
    on_progress: OnProgress = silent,
) -> IngestReport:
    """Embed what is new under `paths` and add it.

    `metadata` is a CSV for plain pictures, `phi` how much of a person's data the home keeps [what it keeps
    already, at first `pseudonymous`], `engine` what renders and encodes (`local`, `ray`, `ray://HOST:PORT`;
    that of the settings by default), `reports` are files (.csv, .html) to write about the run, which show
    pictures that may name the patient only with `show_burned_in`. With `dry_run`, report what would be done
    and leave the home alone. Links below `paths` that lead out of the folders `within` are not followed. The
    home is made if it is not there yet. A file that cannot be used is a line of the report and never ends the
    run. Afterwards the routing rules are evaluated on what is new.
    """
    given: dict[str, Any] = {"metadata": metadata, "workers": workers, "plan": plan, "phi": phi}
    given["engine"] = engine
    given["within"] = None if within is None else tuple(within)
    request = _Request(several("paths", paths), given, reports, show_burned_in)
    if dry_run:
        return _dry_run(archive, request, on_progress)
    return _routed(archive, _ingest(archive, request, on_progress), on_progress)


class IngestedFolder(NamedTuple):
    """One of the folders of a run; `used` are the paths of its files that are in the index."""

    report: IngestReport
    used: frozenset[str]


def ingest_apart(
    archive: OpenedArchive, folders: Mapping[str, Path], *, on_progress: OnProgress = silent
) -> dict[str, IngestedFolder]:
    """Embed what is new in several folders in one run; what became of each, by its name.

    A report counts the files of its own folder; warnings, and drafts that were routed, are those of the run.
    The engine is that of this machine: what was received lies in the home.
    """
    from medsiglip.ingest.engines.choice import LOCAL
    from medsiglip.ingest.run.run_details import RunDetails

    details, request = RunDetails(), _Request(list(folders.values()), {"engine": LOCAL})
    paths = request.checked_paths()
    archive.make()
    report = _run(archive, paths, request.options(archive), on_progress, details)
    report = _routed(archive, report, on_progress)
    if len(folders) == 1:
        return {name: IngestedFolder(report, _in_index(details.lines.in_order())) for name in folders}
    lines: dict[Path, list[FileLine]] = {path: [] for path in paths}
    for line in details.lines.in_order():
        lines[next(folder for folder in Path(line.path).parents if folder in lines)].append(line)
    used = {name: _in_index(lines[folder]) for name, folder in folders.items()}
    held = archive.index.files.holdings_of(used)
    return {
        name: IngestedFolder(_part(report, lines[folder], held[name]), used[name])
        for name, folder in folders.items()
    }


def _in_index(lines: Iterable[FileLine]) -> frozenset[str]:
    """The paths of those files that are in the index."""
    return frozenset(line.path for line in lines if line.outcome in ("embedded", "unchanged"))


def _part(report: IngestReport, lines: Sequence[FileLine], held: Holdings) -> IngestReport:
    """The report of a run over the files of these lines alone."""
    from medsiglip.ingest.run.withheld import withheld

    paths = {line.path for line in lines}
    images = sum(line.images for line in lines if line.outcome == "embedded")
    return report.model_copy(
        update={
            "files": len(lines),
            "files_embedded": sum(line.outcome == "embedded" for line in lines),
            "files_unchanged": sum(line.outcome == "unchanged" for line in lines),
            "studies": held.studies,
            "series": held.series,
            "instances": held.instances,
            "images": held.images,
            "embedded": images,
            "unchanged": max(held.images - images, 0),
            "skipped": tuple(one for one in report.skipped if one.path in paths),
            "quarantined": tuple(one for one in report.quarantined if one.path in paths),
            "withheld": withheld(line.burned_in for line in lines if line.outcome == "embedded"),
        }
    )


def _routed(archive: OpenedArchive, report: IngestReport, on_progress: OnProgress) -> IngestReport:
    """The report, after the routing rules were evaluated on what is new."""
    routed = run_routes(archive, again=False, on_progress=on_progress)
    problems = (f"Route {one.route}: {one.message}" for one in routed.problems)
    warnings = (*report.warnings, *problems, *routed.warnings)
    return report.model_copy(update={"warnings": warnings, "routed": routed.sent})


def _ingest(archive: OpenedArchive, request: _Request, on_progress: OnProgress) -> IngestReport:
    paths = request.checked_paths()
    details = _details(request)
    archive.make()
    report = _run(archive, paths, request.options(archive), on_progress, details)
    _write(request, report, details)
    if report.files:
        return report
    nothing = "no file was found: check the path that was given."
    return report.model_copy(update={"warnings": (*report.warnings, nothing)})


def _dry_run(archive: OpenedArchive, request: _Request, on_progress: OnProgress) -> IngestReport:
    """What `ingest` would do, worked out on a copy of the home's catalogue; the home is not opened."""
    from medsiglip.ingest.run.dry_run import copy_of_home

    require_dry_run(archive.settings)
    with copy_of_home(archive.home) as copy:
        # A new archive would make a bucket its own.
        elsewhere = {} if (copy / "catalog.db").exists() else {"object_url": None}
        settings = archive.settings.model_copy(update={"home": copy, **elsewhere})
        with OpenedArchive.from_settings(settings, on_note=archive.note) as copied:
            given = {**request.given, "dry_run": True}
            return _ingest(copied, replace(request, given=given), on_progress)


def require_dry_run(settings: Settings) -> None:
    """Raise ServiceError `dry-run-needs-sqlite` where the catalogue is a server's: it cannot be copied."""
    if settings.database_url:
        raise ServiceError(
            "dry-run-needs-sqlite", "a dry run needs the catalogue in the home: unset MEDSIGLIP_DATABASE_URL."
        )


def require_cluster(settings: Settings) -> None:
    """Raise ServiceError `no-ray-cluster` where the service has no Ray: a client cannot name one."""
    if settings.ingest_engine == "local":
        raise ServiceError(
            "no-ray-cluster",
            "engine is `local` in this service; leave it out, or have ingest_engine name a Ray cluster.",
        )


def watch(
    archive: OpenedArchive,
    paths: Sequence[AnyPath],
    *,
    settle: float,
    metadata: AnyPath | None = None,
    workers: int | None = None,
    plan: PlanOptions | None = None,
    phi: Phi | None = None,
    engine: str | None = None,
    reports: Sequence[AnyPath] = (),
    show_burned_in: bool = False,
    on_progress: OnProgress = silent,
    on_batch: OnNote = silent,
) -> IngestReport:
    """Ingest whatever arrives under `paths`, once it has not changed for `settle` seconds, until Ctrl-C or
    SIGTERM; the sum of all batches. `on_batch` gets a sentence about each.
    """
    from medsiglip.ingest.errors import InterruptedIngestError
    from medsiglip.ingest.run.interruption import interruptible
    from medsiglip.ingest.run.watch import Arrivals, series_of_file
    from medsiglip.ingest.run.watch import watch as follow

    given = {"metadata": metadata, "workers": workers, "plan": plan, "phi": phi, "engine": engine}
    request = _Request(paths, given, reports, show_burned_in)
    checked = request.checked_paths()
    details = _details(request)
    archive.make()
    options = request.options(archive)
    batches: list[IngestReport] = []
    ingested: set[str] = set()
    warnings: list[str] = []
    arrivals = Arrivals(settle, archive.index.files.by_path(), series_of_file)

    def ingest_batch(ready: Sequence[str]) -> None:
        report = _run(archive, [Path(path) for path in ready], options, on_progress, details)
        batches.append(report)
        ingested.update(ready)
        on_batch(_summary(report))

    with interruptible():
        try:
            follow(checked, arrivals, ingest_batch, pause=min(max(settle / 4, 0.1), 2.0))
        except InterruptedIngestError as error:
            warnings.append(str(error))
        except KeyboardInterrupt:
            pass
    if arrivals.waiting:
        warnings.append(f"{arrivals.waiting} files were still arriving; run the same command again.")
    total = _total(archive, batches, ingested, warnings)
    _write(request, total, details)
    return total.model_copy(update={"batches": len(batches)})


def _run(
    archive: OpenedArchive,
    paths: Sequence[Path],
    options: IngestOptions,
    on_progress: OnProgress,
    details: RunDetails | None,
) -> IngestReport:
    from medsiglip.ingest.run.pipeline import ingest as run_ingest

    def report_progress(moment: Progress) -> None:
        on_progress(_STAGES[moment.stage], moment.done, moment.total)

    checkpoint = replace(archive.checkpoint, name=archive.space.model)
    told = nullcontext() if options.dry_run else announcing_new_studies(archive)
    with told:
        return run_ingest(
            paths,
            archive.index,
            checkpoint,
            _encoder_maker(archive, options.engine),
            options,
            report_progress,
            details,
        )


def _encoder_maker(archive: OpenedArchive, engine: str) -> Callable[[], ImageEncoder]:
    """What makes the encoder of a run: that of the archive, or on other machines one of their own."""
    from medsiglip.ingest.engines.choice import LOCAL

    if engine == LOCAL:
        return lambda: archive.patient_encoder
    from medsiglip.ingest.engines.node_encoder import NodeEncoder

    space, settings = archive.space, archive.settings
    return NodeEncoder(
        space.model, space.checkpoint_hash, space.profile, settings.precision, settings.batch_size
    )


def _details(request: _Request) -> RunDetails | None:
    """What a report file needs, after a check that it can be written."""
    if not request.report_paths:
        return None
    from medsiglip.ingest.run.report_file import check_report_path
    from medsiglip.ingest.run.run_details import RunDetails

    for path in request.report_paths:
        check_report_path(path)
    return RunDetails(show_burned_in=request.show_burned_in)


def _write(request: _Request, report: IngestReport, details: RunDetails | None) -> None:
    from medsiglip.ingest.run.report_file import write_report

    for path in request.report_paths:
        assert details is not None
        write_report(path, report, details)


def _summary(report: IngestReport) -> str:
    return (
        f"{report.files} files: {report.files_embedded} embedded, {report.files_unchanged} unchanged, "
        f"{len(report.skipped)} skipped, {len(report.quarantined)} quarantined"
    )


def _total(
    archive: OpenedArchive, batches: Sequence[IngestReport], ingested: set[str], warnings: Sequence[str]
) -> IngestReport:
    """The sum of the batches; a file that came twice counts twice."""
    from medsiglip.ingest.run.warning_lines import grouped, single
    from medsiglip.ingest.run.withheld import withheld

    held = archive.index.files.holdings(ingested)
    lines, groups = grouped([*(text for batch in batches for text in single(batch)), *warnings])
    embedded = sum(one.embedded for one in batches)
    not_shown = [group for one in batches for group in one.withheld]
    return IngestReport(
        files=sum(one.files for one in batches),
        files_embedded=sum(one.files_embedded for one in batches),
        files_unchanged=sum(one.files_unchanged for one in batches),
        embedded=embedded,
        studies=held.studies,
        series=held.series,
        instances=held.instances,
        images=held.images,
        unchanged=max(held.images - embedded, 0),
        skipped=tuple(one for batch in batches for one in batch.skipped),
        quarantined=tuple(one for batch in batches for one in batch.quarantined),
        warnings=lines,
        warned=groups,
        space=archive.space.name,
        seconds=round(sum(one.seconds for one in batches), 3),
        withheld=withheld(chain.from_iterable(repeat(one.burned_in, one.files) for one in not_shown)),
    )

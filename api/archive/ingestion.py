"""Cases go in: an ingest, a dry run, or watching a folder; each with a report file where one is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsiglip.api.archive.files import require_paths
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.archive import Answer, Archive, OnProgress
    from medsiglip.ingest.run.pipeline import IngestOptions
    from medsiglip.ingest.run.report import IngestReport, Progress
    from medsiglip.ingest.run.run_details import RunDetails

OnBatch = Callable[[str], None]
_STAGES = {"walk": "finding files", "scan": "reading headers", "embed": "embedding"}


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """`given` are fields of `medsiglip.ingest.run.pipeline.IngestOptions`, those that are not None; `reports`
    are files to write, .csv or .html, where pictures that may name the patient are shown with
    `show_burned_in`.
    """

    paths: Sequence[str | Path]
    given: dict[str, Any]
    reports: Sequence[str | Path] = ()
    show_burned_in: bool = False
    report_paths: list[Path] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "report_paths", [Path(p).expanduser().absolute() for p in self.reports])

    def checked_paths(self) -> list[Path]:
        """The paths, and a look at them and at the metadata CSV: a mistyped one must not leave a home behind.

        Raises ServiceError `no-such-path`, and `IngestError` for a CSV that cannot be used.
        """
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

    def options(self, archive: Archive) -> IngestOptions:
        """The options of the run, with what the archive's settings say."""
        from medsiglip.ingest.run.pipeline import IngestOptions

        given = {name: value for name, value in self.given.items() if value is not None}
        given.setdefault("workers", archive.settings.workers)
        return IngestOptions(profile=archive.space.profile, **{**given, "metadata": self.metadata})


def ingest(archive: Archive, request: IngestRequest, on_progress: OnProgress) -> Answer:
    """Embed what is new under the paths and add it, or tell what that would do."""
    paths = request.checked_paths()
    details = _details(request)
    archive.make()
    report = _run(archive, paths, request.options(archive), on_progress, details)
    _write(request, report, details)
    answer = report.to_json()
    if not answer["files"]:
        answer["warnings"] = [*answer["warnings"], "no file was found: check the path that was given."]
    return answer


def dry_run(archive: Archive, request: IngestRequest, on_progress: OnProgress) -> Answer:
    """What `ingest` would do, worked out on a copy of the home's catalogue; the home is not opened."""
    from medsiglip.api.archive.archive import Archive as ArchiveOfCopy
    from medsiglip.ingest.run.dry_run import copy_of_home

    if archive.settings.database_url:
        raise ServiceError(
            "dry-run-needs-sqlite", "a dry run needs the catalogue in the home: unset MEDSIGLIP_DATABASE_URL."
        )
    with copy_of_home(archive.home) as copy:
        settings = archive.settings.model_copy(update={"home": copy})
        with ArchiveOfCopy.from_settings(settings, on_note=archive.note) as rehearsal:
            given = {**request.given, "dry_run": True}
            return ingest(rehearsal, replace(request, given=given), on_progress)


def watch(
    archive: Archive, request: IngestRequest, settle: float, on_progress: OnProgress, on_batch: OnBatch
) -> Answer:
    """Ingest what arrives under the paths until Ctrl-C or SIGTERM; the sum of all batches.

    `settle` is for how many seconds a file must not change to be complete.
    """
    from medsiglip.ingest.errors import InterruptedIngestError
    from medsiglip.ingest.run.interruption import interruptible
    from medsiglip.ingest.run.watch import Arrivals, series_of_file
    from medsiglip.ingest.run.watch import watch as follow

    paths = request.checked_paths()
    details = _details(request)
    archive.make()
    options = request.options(archive)
    batches: list[IngestReport] = []
    handed: set[str] = set()
    warnings: list[str] = []
    arrivals = Arrivals(settle, archive.index.known_files(), series_of_file)

    def ingest_batch(ready: Sequence[str]) -> None:
        report = _run(archive, [Path(path) for path in ready], options, on_progress, details)
        batches.append(report)
        handed.update(ready)
        on_batch(_told(report))

    with interruptible():
        try:
            follow(paths, arrivals, ingest_batch, pause=min(max(settle / 4, 0.1), 2.0))
        except InterruptedIngestError as error:
            warnings.append(str(error))
        except KeyboardInterrupt:
            pass
    if arrivals.waiting:
        warnings.append(f"{arrivals.waiting} files were still arriving; run the same command again.")
    total = _total(archive, batches, handed, warnings)
    _write(request, total, details)
    return {**total.to_json(), "batches": len(batches)}


def _run(
    archive: Archive,
    paths: Sequence[Path],
    options: IngestOptions,
    on_progress: OnProgress,
    details: RunDetails | None,
) -> IngestReport:
    from medsiglip.ingest.run.pipeline import ingest as run_ingest

    def tell(moment: Progress) -> None:
        on_progress(_STAGES[moment.stage], moment.done, moment.total)

    checkpoint = replace(archive.checkpoint, name=archive.space.model)
    return run_ingest(
        paths, archive.index, checkpoint, lambda: archive.patient_encoder, options, tell, details
    )


def _details(request: IngestRequest) -> RunDetails | None:
    """What a report file needs, after a look whether it can be written at all."""
    if not request.report_paths:
        return None
    from medsiglip.ingest.run.report_file import check_report_path
    from medsiglip.ingest.run.run_details import RunDetails

    for path in request.report_paths:
        check_report_path(path)
    return RunDetails(show_burned_in=request.show_burned_in)


def _write(request: IngestRequest, report: IngestReport, details: RunDetails | None) -> None:
    from medsiglip.ingest.run.report_file import write_report

    for path in request.report_paths:
        assert details is not None
        write_report(path, report, details)


def _told(report: IngestReport) -> str:
    return (
        f"{report.files} files: {report.files_embedded} embedded, {report.files_unchanged} unchanged, "
        f"{len(report.skipped)} skipped, {len(report.quarantined)} quarantined"
    )


def _total(
    archive: Archive, batches: Sequence[IngestReport], handed: set[str], warnings: Sequence[str]
) -> IngestReport:
    """The sum of the batches; a file that came twice counts twice."""
    from medsiglip.ingest.run.report import IngestReport

    held = archive.index.holdings(handed)
    embedded = sum(one.embedded for one in batches)
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
        warnings=(*(text for batch in batches for text in batch.warnings), *warnings),
        space=archive.space.name,
        seconds=sum(one.seconds for one in batches),
    )

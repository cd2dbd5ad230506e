"""The run: walk, scan what changed, have it rendered and encoded by an engine, commit whole units.

Images of one unit and the rows of its files enter the index in one transaction, so a run that is killed
at any moment and started again ends with the same index as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from medsiglip.answers.cases import IngestReport
from medsiglip.index.catalogue.labels.class_columns import class_column
from medsiglip.index.errors import CatalogError
from medsiglip.index.label_records import LabelRecord
from medsiglip.index.records import Space
from medsiglip.index.scratch import portions
from medsiglip.ingest.engines.choice import LOCAL, engine_of
from medsiglip.ingest.engines.engine import EngineOptions, ImageEncoder
from medsiglip.ingest.errors import InterruptedIngestError
from medsiglip.ingest.privacy.deidentify import Phi, SecretKey, bound_key
from medsiglip.ingest.run.commits import Commits
from medsiglip.ingest.run.file_records import rejected_record
from medsiglip.ingest.run.interruption import Interruption, interruptible
from medsiglip.ingest.run.path_list import PathList
from medsiglip.ingest.run.persistence import persistent
from medsiglip.ingest.run.progress import OnProgress, StageClock
from medsiglip.ingest.run.triage import Triage, find_changes, scan_changes
from medsiglip.ingest.run.warning_lines import grouped
from medsiglip.ingest.run.withheld import withheld
from medsiglip.ingest.units.plan import PlanOptions
from medsiglip.tracing.spans import span

if TYPE_CHECKING:
    from medsiglip.checkpoint import Checkpoint
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.ingest.header.header import Header
    from medsiglip.ingest.header.metadata import PictureMetadata
    from medsiglip.ingest.run.run_details import RunDetails
    from medsiglip.ingest.units.plan import Unit


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """`workers` None means one for each core, at most 8; `phi` None means what the home keeps, initially
    `pseudonymous`. `dry_run` reads headers and decodes nothing: pass it the index of a copy of the home
    (`medsiglip.ingest.run.dry_run`). Links that lead out of the folders `within` are not followed. `engine`
    renders and encodes (`medsiglip.ingest.engines.choice`).
    """

    workers: int | None = None
    metadata: Path | None = None
    plan: PlanOptions = field(default_factory=PlanOptions)
    phi: Phi | None = None
    profile: str = "medsiglip-eval"
    dry_run: bool = False
    within: tuple[Path, ...] | None = None
    engine: str = LOCAL


def ingest(
    paths: Sequence[str | Path],
    index: CaseIndex,
    checkpoint: Checkpoint,
    make_encoder: Callable[[], ImageEncoder],
    options: IngestOptions | None = None,
    on_progress: OnProgress | None = None,
    details: RunDetails | None = None,
) -> IngestReport:
    """Put the images under `paths` into `index`; `make_encoder` is called only if there is something to
    encode. `details` collects what becomes of every file.

    Raises `IngestError` (`no-such-path`, `path-unreadable`, metadata and key codes, `unknown-engine`,
    `worker-start-failed`),
    `InterruptedIngestError` on Ctrl-C or SIGTERM, which keeps what was committed until then, and the index's
    `CatalogError`.
    """
    with span("ingest"), interruptible() as interruption:
        run = _Run(
            index, checkpoint, make_encoder, options or IngestOptions(), on_progress, interruption, details
        )
        try:
            return run.run(paths)
        except KeyboardInterrupt:
            run.record_stop()
            raise InterruptedIngestError(
                "interrupted",
                f"Stopped; the index holds {run.commits.embedded} more images than before. "
                "Run the same command again to go on.",
            ) from None
        finally:
            run.close()


class _Run:
    def __init__(
        self,
        index: CaseIndex,
        checkpoint: Checkpoint,
        make_encoder: Callable[[], ImageEncoder],
        options: IngestOptions,
        on_progress: OnProgress | None,
        interruption: Interruption,
        details: RunDetails | None,
    ) -> None:
        self.index = index = persistent(index, interruption.check)
        self.checkpoint = checkpoint
        self.options = options
        self.on_progress = on_progress
        self.interruption = interruption
        self.details = details
        self.space = Space(checkpoint.hash, options.profile, checkpoint.dimension, checkpoint.name)
        self.triage = Triage()
        self.warnings: list[str] = []
        wanted = EngineOptions(checkpoint, options.profile, options.workers, keeps_inputs=details is not None)
        self.engine = engine_of(options.engine, wanted, make_encoder)
        self.commits = Commits(index, self.space, interruption)

    def run(self, paths: Sequence[str | Path]) -> IngestReport:
        """The run from beginning to end."""
        begun = time.monotonic()
        metadata: Mapping[str, PictureMetadata] = {}
        if self.options.metadata is not None:
            from medsiglip.ingest.header.metadata import read_metadata

            metadata = read_metadata(self.options.metadata)
        self.index.activate(self.space)
        key = bound_key(self.index, self.options.phi)
        self.triage = Triage(PathList(in_memory=key.phi == "strict"), metadata.keys())
        if self.details is not None and key.phi == "strict":
            self.details.lines.in_memory = True
        table, within = self.options.metadata, self.options.within
        with span("ingest walk") as walked:
            changed = find_changes(self.triage, paths, self.index, key, self.on_progress, table, within)
            walked.note(files=self.triage.files, changed=len(changed))
        if not self.options.dry_run:
            self.engine.prepare(len(changed))
        if changed or self.triage.records:
            with span("ingest scan", files=len(changed)):
                scan_changes(self.triage, changed, self.index, key, metadata, self.on_progress)
            self.warnings += self.triage.warnings
            if self.options.dry_run:
                return self._dry_run(key, begun)
            self.index.pixel_hashes.renew(self.triage.renewed)
            for records in portions(self.triage.records):
                self.index.files.put(records)
            if self.triage.headers:
                with span("ingest embed", files=len(self.triage.headers), engine=self.options.engine):
                    self._embed(key)
        if metadata and not self.options.dry_run:
            from medsiglip.ingest.run.placement import misplaced_pictures

            owners = self.index.files.owners([record.path for record in self.triage.in_table])
            self.warnings += misplaced_pictures(self.triage.in_table, owners, metadata, key)
            self.warnings += _set_labels(self.index, metadata)
            _set_report_texts(self.index, metadata)
        if not self.options.dry_run:
            with suppress(CatalogError):  # all is committed; the next run or a worker cleans up
                self.index.clean_up()
        return self.report(time.monotonic() - begun)

    def _dry_run(self, key: SecretKey, begun: float) -> IngestReport:
        from medsiglip.ingest.run.dry_run import expected_report
        from medsiglip.ingest.run.regroup import plan_with_index

        headers = self._placed(self.triage.headers)
        units, warnings = plan_with_index(headers, self.index, key, self.options.plan)
        report = expected_report(self.triage, units, self.index, self.details)
        lines, groups = grouped([*self.warnings, *warnings])
        seconds = round(time.monotonic() - begun, 3)
        known = {"warnings": lines, "warned": groups, "space": self.space.name, "seconds": seconds}
        return report.model_copy(update=known)

    def _embed(self, key: SecretKey) -> None:
        """Render, encode and commit every file; then try copies of the unusable ones."""
        from medsiglip.ingest.run.copies import CopyGroups

        groups = CopyGroups(self.triage.copies)
        headers = self.triage.headers = self._placed(self.triage.headers)
        while headers:
            self._embed_units(headers, key)
            by_path = {header.path: header for header in self.triage.headers}
            following, failed = groups.next_candidates(self.commits.rejections, by_path)
            known = {rejected.path for rejected in self.commits.rejections}
            self.triage.rejected += [rejected for _, rejected in failed if rejected.path not in known]
            self.index.files.put([rejected_record(one, h.size, h.mtime_ns) for h, one in failed])
            headers = self._placed(following)
            self.triage.headers = [*self.triage.headers, *headers]
        self._embed_shared(key)

    def _placed(self, headers: Sequence[Header]) -> list[Header]:
        """Each study under one patient."""
        from medsiglip.ingest.run.placement import under_one_patient

        held: dict[str, str] = {}
        for uids in portions({header.study_instance_uid for header in headers}):
            held |= self.index.patients_of(uids)
        placed, warnings = under_one_patient(headers, held)
        self.warnings += warnings
        return placed

    def _embed_units(self, headers: Sequence[Header], key: SecretKey) -> None:
        from medsiglip.ingest.run.regroup import plan_with_index

        units, warnings = plan_with_index(headers, self.index, key, self._plan_options())
        self.warnings += warnings
        self._embed_planned(units)

    def _embed_shared(self, key: SecretKey) -> None:
        """Render series anew to which another run has added files since they were planned, together with
        those. Where both runs do, the second changes nothing.
        """
        own = {header.path for header in self.triage.headers}
        while units := self.commits.shared.units(own, self.index, key, self._plan_options()):
            self._embed_planned(units)

    def _plan_options(self) -> PlanOptions:
        return replace(self.options.plan, older_hashes=self.index.pixel_hashes.any_older())

    def _embed_planned(self, units: Sequence[Unit]) -> None:
        self.commits.shared.expect(units)
        clock = StageClock(self.on_progress, "embed", sum(len(unit.headers) for unit in units))
        clock.report()
        with closing(self.engine.embed(units, self.interruption.check)) as encoded:
            for together in encoded:
                for embedded in together:
                    self.commits.add(embedded, self.triage.copies)
                    if self.details is not None:
                        self.details.add_rendered(embedded.unit, embedded.rendered)
                if self.commits.is_due:
                    clock.advance(*self._commit())
        clock.advance(*self._commit())

    def _commit(self) -> tuple[int, int]:
        done = self.commits.commit()
        if self.details is not None:
            self.details.commit()
        return done

    def record_stop(self) -> None:
        """Record in the details which files of a stopped run are in the index."""
        if self.details is not None:
            own = {header.path for header in self.triage.headers}
            self.details.stop(self.index, self.commits.files & own)

    def report(self, seconds: float) -> IngestReport:
        """Account for every file of the run."""
        headers = {header.path for header in self.triage.headers}
        copies = {same.path for every in self.triage.copies.values() for same in every}
        embedded = (self.commits.files & headers) - copies
        held = self.index.files.holdings(self.triage.unchanged, embedded)
        # A series that gains files is rendered with those in the index, which do not belong to this run.
        late = [
            rejected for rejected in self.commits.rejections if rejected.path in headers - embedded - copies
        ]
        rejected = sorted((*self.triage.rejected, *late), key=lambda r: r.path)
        same = self.commits.files & copies
        if self.details is not None:
            self.details.finish(self.index, embedded, chain(self.triage.unchanged, same), rejected)
        lines, groups = grouped([*self.warnings, *self._image_warnings()])
        report = IngestReport(
            files=self.triage.files,
            files_embedded=len(embedded),
            files_unchanged=len(self.triage.unchanged) + len(same),
            studies=held.studies,
            series=held.series,
            instances=held.instances,
            images=held.images,
            embedded=self.commits.embedded,
            unchanged=max(held.images - self.commits.embedded, 0),
            skipped=tuple(r for r in rejected if r.outcome == "skipped"),
            quarantined=tuple(r for r in rejected if r.outcome == "quarantined"),
            warnings=lines,
            warned=groups,
            space=self.space.name,
            seconds=round(seconds, 3),
            withheld=withheld(
                str(header.quality.get("burned_in", ""))
                for header in self.triage.headers
                if header.path in embedded
            ),
        )
        return report.model_copy(update={"dry_run": True}) if self.options.dry_run else report

    def close(self) -> None:
        """End the workers, and forget what is unchanged."""
        self.engine.close()
        self.triage.unchanged.close()

    def _image_warnings(self) -> list[str]:
        from medsiglip.ingest.render import display
        from medsiglip.ingest.units import stacks

        texts = {**display.WARNINGS, **stacks.WARNINGS}
        return [
            f"{count} images, {code}: {texts[code]}."
            for code, count in sorted(self.commits.image_warnings.items())
            if code in texts
        ]


def _set_report_texts(index: CaseIndex, metadata: Mapping[str, PictureMetadata]) -> None:
    """Store the reports or captions of each study, every text once, in the order of the CSV."""
    given = {path: row.report for path, row in metadata.items() if row.report}
    texts: dict[str, dict[str, None]] = {}
    owners = index.files.owners(list(given)) if given else {}
    for path, text in given.items():
        if path in owners:
            texts.setdefault(owners[path].study_instance_uid, {})[text] = None
    if texts:
        index.report_texts.put({uid: "\n".join(lines) for uid, lines in texts.items()}, "metadata")


def _set_labels(index: CaseIndex, metadata: Mapping[str, PictureMetadata]) -> list[str]:
    column = class_column(row.class_name for row in metadata.values() if row.class_name)
    records = [
        LabelRecord(name, value, "path", path, is_class=True, class_column=column)
        if name == row.class_name
        else LabelRecord(name, value, "path", path)
        for path, row in metadata.items()
        for name, value in row.labels.items()
    ]
    if not records:
        return []
    outcome = index.labels.put(records)
    sentences = [conflict.sentence for conflict in outcome.conflicts]
    missing = len({record.key for record in outcome.unmatched})
    if missing:
        sentences.append(
            f"{missing} paths of the metadata CSV with labels are not in the index; check the column `path`."
        )
    return sentences

"""What an ingest would do, worked out on a copy of the catalogue: the home is not opened, so it does not
change.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from medsiglip.answers.cases import IngestReport
from medsiglip.ingest.errors import IngestError
from medsiglip.ingest.run.withheld import withheld

if TYPE_CHECKING:
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.ingest.run.run_details import RunDetails
    from medsiglip.ingest.run.triage import Triage
    from medsiglip.ingest.units.plan import Unit

# The catalogue and its write-ahead log; the identity that it shares with the home, the key, and the hashes of
# large checkpoints.
_CATALOGUE = ("catalog.db", "catalog.db-wal")
_OTHERS = ("identity.json", "secret.key", "checkpoint-hashes.json")
_ATTEMPTS = 5


@contextmanager
def copy_of_home(home: Path) -> Iterator[Path]:
    """A temporary copy of a home that can be queried.

    Raises `IngestError` `home-busy` while another program writes to the catalogue all the time.
    """
    with tempfile.TemporaryDirectory(prefix="dry-run-") as folder:
        copy = Path(folder) / "home"
        copy.mkdir(mode=0o700)
        # Only read, to check that the vectors belong to the catalogue.
        (copy / "vectors").symlink_to(home.absolute() / "vectors")
        for _ in range(_ATTEMPTS):
            before = _states(home)
            for name in (*_CATALOGUE, *_OTHERS):
                (copy / name).unlink(missing_ok=True)
                if (home / name).exists():
                    shutil.copy2(home / name, copy / name)
            if _states(home) == before:
                break
        else:
            raise IngestError(
                "home-busy", f"Another program is writing to {home}; try again when it has finished."
            )
        yield copy


def _states(home: Path) -> list[tuple[int, int] | None]:
    states: list[tuple[int, int] | None] = []
    for name in _CATALOGUE:
        try:
            status = os.stat(home / name)
            states.append((status.st_size, status.st_mtime_ns))
        except FileNotFoundError:
            states.append(None)
    return states


def expected_report(
    triage: Triage, units: Sequence[Unit], index: CaseIndex, details: RunDetails | None
) -> IngestReport:
    """The report of a run with these units if all their images can be decoded.

    How many patches of a slide hold tissue is seen only when it is decoded: then `images` and `embedded` are
    the most that there can be, and `at_most` is true.
    """
    new = {header.path for header in triage.headers}
    held = index.files.holdings(triage.unchanged)
    studies: dict[str, bool] = {}
    series = set()
    instances, images, embedded = held.instances, held.images, 0
    for unit in units:
        first = unit.headers[0]
        study = first.study_instance_uid
        if study not in studies:
            studies[study] = not any(one.path in triage.unchanged for one in index.files.of_study(study))
        of_series = [
            one for one in index.files.of_series(first.series_instance_uid) if one.path in triage.unchanged
        ]
        owners = index.files.owners([one.path for one in of_series])
        of_run = {
            record.path: (record.sop_instance_uid, record.pixel_hash)
            for record in of_series
            if record.path in owners and owners[record.path].study_instance_uid == study
        }
        if not of_run:
            series.add((study, first.series_instance_uid))
        if unit.replace_series:
            replaced = [path for path, identity in of_run.items() if identity not in unit.beside]
            images -= index.files.holdings(replaced).images
        instances += sum(header.path in new for header in unit.headers)
        images += unit.max_images
        embedded += unit.max_images
    copies = [same.path for every in triage.copies.values() for same in every]
    rejected = sorted(triage.rejected, key=lambda r: r.path)
    if details is not None:
        details.add_planned(units)
        details.finish(index, new, chain(triage.unchanged, copies), rejected)
    return IngestReport(
        files=triage.files,
        files_embedded=len(new),
        files_unchanged=len(triage.unchanged) + len(copies),
        studies=held.studies + sum(studies.values()),
        series=held.series + len(series),
        instances=instances,
        images=images,
        embedded=embedded,
        unchanged=max(images - embedded, 0),
        skipped=tuple(r for r in rejected if r.outcome == "skipped"),
        quarantined=tuple(r for r in rejected if r.outcome == "quarantined"),
        warnings=(),
        space="",
        seconds=0.0,
        dry_run=True,
        withheld=withheld(str(header.quality.get("burned_in", "")) for header in triage.headers),
        at_most=any(unit.patches is not None for unit in units),
    )

"""Files of studies are fetched again from the PACS that they came from, and deleted again later.

What was fetched lies in a folder of `received/`. A file `<folder>.fetched` beside it names the connection and
says by its time when the files were last asked for.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from medsiglip.answers.pacs import FetchReport, ReleaseReport
from medsiglip.api.archive.opened import OnProgress, silent
from medsiglip.api.archive.pacs.comparing import LINE_CODES
from medsiglip.api.archive.pacs.connections import connection_of, open_pacs
from medsiglip.api.archive.pacs.ledger import ask_for, names_of
from medsiglip.api.archive.pacs.proving import gives_the_same
from medsiglip.api.archive.pacs.pulling import Patience, pace_for, pull_asked
from medsiglip.api.archive.pacs.stored_files import FETCHED, drop_files, files_state, own_files
from medsiglip.api.archive.queries import stored_study_uid
from medsiglip.api.errors import ServiceError
from medsiglip.index.errors import CatalogError
from medsiglip.index.storage.deletion import UPLOADS
from medsiglip.ingest.errors import PacsError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.ingest.pacs.client import PacsClient

_PAGE = 100


def pacs_fetch(
    archive: OpenedArchive,
    study_instance_uid: str,
    *,
    name: str | None = None,
    patience: Patience | None = None,
    on_progress: OnProgress = silent,
) -> FetchReport:
    """Bring the files of a study back from the PACS `name`, by default the one that it last came from, so
    that its pictures can be drawn again. Its vectors stay as they are, where the PACS still has the same.

    Raises ServiceError `strict-home`, `no-pacs`, `pacs-changed`; CatalogError `unknown-study`,
    `unknown-pacs`; PacsError.
    """
    uid = checked_fetch(archive, study_instance_uid, name)
    state, came_from = files_state(archive, uid)
    source = name or came_from[0]
    if state == "here":
        _touch(archive, uid)
        return FetchReport(study_instance_uid=uid, files="here", came_from=came_from, instances=0)
    ask_for(archive, source, [uid])
    pulled = pull_asked(archive, source, [uid], purpose="fetch", patience=patience, on_progress=on_progress)
    state, came_from = files_state(archive, uid)
    if state != "here" and pulled.here and connection_of(archive, source).retrieve == "move":
        raise PacsError(
            "pacs-on-the-way",
            f"The PACS {source} has sent the files to the receiver, which ingests them: ask again later.",
            may_pass=True,
        )
    if state != "here":
        raise ServiceError("pacs-changed", _why_not_here(source, pulled.here > 0))
    return FetchReport(study_instance_uid=uid, files=state, came_from=came_from, instances=pulled.instances)


def checked_fetch(archive: OpenedArchive, study_instance_uid: str, name: str | None = None) -> str:
    """The UID of a study here, if its files are there or can be fetched; raises what `pacs_fetch` does before
    it asks a PACS.
    """
    uid = stored_study_uid(archive, study_instance_uid)
    archive.index.study(uid)
    _require_paths(archive)
    state, came_from = files_state(archive, uid)
    if name is not None:
        archive.index.pacs_connections.get(name)
    elif state != "here" and not came_from:
        raise ServiceError(
            "no-pacs",
            "this study came from no PACS that is still known: name one that has it, or ingest its files "
            "again.",
        )
    return uid


def pacs_release(
    archive: OpenedArchive,
    name: str,
    study_instance_uids: Sequence[str] | None = None,
    *,
    on_progress: OnProgress = silent,
) -> ReleaseReport:
    """Delete files of this home that a PACS gives again: those of the studies named, or of all that came from
    it. Each study is fetched once more and its pixels are compared. Files outside of the home are left alone,
    and so is a study of which the PACS does not give every instance with the same pixels, or of which two
    instances have one UID.

    Raises ServiceError `strict-home`; CatalogError `unknown-study`, `unknown-pacs`; PacsError.
    """
    named = checked_release(archive, name, study_instance_uids)
    counts: Counter[str] = Counter()

    def check() -> None:
        on_progress("releasing", sum(counts[one] for one in ("released", "kept")), None)

    with open_pacs(archive, name, pace_for(archive, connection_of(archive, name), check)) as client:
        for uid in _came_from(archive, name) if named is None else named:
            check()
            counts += _release(archive, client, name, uid)
    return _report(counts)


def checked_release(
    archive: OpenedArchive, name: str, study_instance_uids: Sequence[str] | None
) -> list[str] | None:
    """The UIDs of the studies here; raises what `pacs_release` does before it asks a PACS."""
    _require_paths(archive)
    archive.index.pacs_connections.get(name)
    if study_instance_uids is None:
        return None
    named = [stored_study_uid(archive, uid) for uid in dict.fromkeys(study_instance_uids)]
    for uid in named:
        archive.index.study(uid)
    return named


def release_fetched(
    archive: OpenedArchive,
    seconds: float,
    clock: Callable[[], float] = time.time,
    check: Callable[[], None] = lambda: None,
) -> ReleaseReport:
    """Delete again what was fetched and not asked for since so many seconds, as `pacs_release` does, and
    nothing beside it; a PACS that does not answer is asked another time. `check` may end the work.
    """
    counts: Counter[str] = Counter()
    for marker in sorted((archive.home / UPLOADS).glob(f"*{FETCHED}")):
        with suppress(FileNotFoundError):
            if clock() - marker.stat().st_mtime < seconds:
                continue
            folder = marker.with_name(marker.name.removesuffix(FETCHED))
            paths = archive.index.files.embedded_below(str(folder))
            uids = {one.study_instance_uid for one in archive.index.files.owners(paths).values()}
            name = marker.read_text(encoding="utf-8")
            try:
                spend = pace_for(archive, connection_of(archive, name), check)
                with open_pacs(archive, name, spend) as client:
                    for uid in sorted(uids):
                        counts += _release(archive, client, name, uid, paths)
            except (PacsError, CatalogError):
                os.utime(marker)  # another day
                continue
            if folder.is_dir():
                os.utime(marker)
            else:
                marker.unlink()
    return _report(counts)


def _report(counts: Counter[str]) -> ReleaseReport:
    return ReleaseReport(studies=counts["released"], files=counts["files"], kept=counts["kept"])


def order_release(archive: OpenedArchive, clock: Callable[[], float] = time.time) -> bool:
    """Order the job of `release_fetched`, once an hour, where that has something to do."""
    seconds = archive.settings.fetched_seconds
    for marker in (archive.home / UPLOADS).glob(f"*{FETCHED}"):
        with suppress(FileNotFoundError):
            if clock() - marker.stat().st_mtime >= seconds:
                parameters = {"connection": None, "study_instance_uids": None}
                hour = f"pacs-release:{int(clock() // 3600)}"
                archive.index.jobs.submit("pacs-release", parameters, idempotency_key=hour)
                return True
    return False


def _release(
    archive: OpenedArchive, client: PacsClient, name: str, uid: str, among: Collection[str] | None = None
) -> Counter[str]:
    """Delete the files of a study if the PACS gives the same again, or those `among` some, which it gave, if
    it lists the study whole; counts what it did.
    """
    paths = own_files(archive, uid)
    paths = paths if among is None else paths.intersection(among)
    if not paths:
        return Counter()
    held = Counter(one.sop_instance_uid for _, one in archive.index.instances.of_study(uid))
    try:
        listed = {one.sop_instance_uid for one in client.instances(uid)}
    except PacsError as error:
        if error.code in LINE_CODES:
            raise
        listed = set()  # what is wrong with one study stops no other
    if max(held.values(), default=0) > 1 or not held.keys() <= listed:
        return Counter(kept=1)
    if among is None and not gives_the_same(archive, client, name, uid):
        return Counter(kept=1)
    if not _note_origin(archive, name, uid, len(listed)):
        return Counter(kept=1)
    drop_files(archive, paths)
    return Counter(released=1, files=len(paths))


def _note_origin(archive: OpenedArchive, name: str, uid: str, instances: int) -> bool:
    """Note that a study can be fetched from a PACS, also where it did not come from there; False where it was
    forgotten meanwhile.
    """
    from medsiglip.index.pacs.study_ledger import Settled
    from medsiglip.ingest.privacy.deidentify import bound_key

    names, ledger = names_of(bound_key(archive.index), uid), archive.index.pacs_studies
    state = ledger.find(name, names)
    if state is None or state.status != "here":
        if not ledger.announced(name, names):
            return False
        expected = None if state is None else state.expected
        ledger.settle(name, [Settled(names, "here", instances, instances, expected)])
    return True


def _came_from(archive: OpenedArchive, name: str) -> Iterator[str]:
    after, ledger = None, archive.index.pacs_studies
    while page := ledger.page(name, status="here", after=after, limit=_PAGE):
        yield from [one.study_instance_uid for one in page]
        after = page[-1].place


def _require_paths(archive: OpenedArchive) -> None:
    if archive.index.phi == "strict":
        raise ServiceError(
            "strict-home",
            "a strict home keeps no files and knows no study by the UID of its PACS: pictures can be drawn "
            "only while they are ingested.",
        )


def _why_not_here(name: str, came: bool) -> str:
    if came:
        return (
            f"the PACS {name} gave this study, but some of its pictures are not those that were ingested: "
            "they are in the archive beside the former ones, whose files are gone."
        )
    return f"the PACS {name} did not give the whole study: `pacs status {name}` says why."


def _touch(archive: OpenedArchive, uid: str) -> None:
    for folder in _folders(archive, uid):
        with suppress(FileNotFoundError):
            os.utime(folder.with_name(folder.name + FETCHED))


def _folders(archive: OpenedArchive, uid: str) -> set[Path]:
    return {Path(path).parent for path in own_files(archive, uid)}

"""One study is fetched until what came is what the PACS lists of it.

What a PACS says of its own transfers is not believed: every instance that it lists at IMAGE level (PS3.4,
C.6.2.1.2) is looked for among the files that came, and what is missing is asked for again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medsiglip.ingest.errors import PacsError

if TYPE_CHECKING:
    from pydicom.tag import BaseTag

    from medsiglip.ingest.pacs.client import PacsClient
    from medsiglip.ingest.pacs.records import PacsInstance

LINE_CODES = frozenset(
    {"pacs-unreachable", "pacs-refused", "pacs-certificate", "pacs-timeout", "pacs-busy", "outside-hours"}
)
"""What ends the work with a PACS, and not only that on one study."""
MOST_SINGLE = 200
"""Missing instances that are asked for one by one, of one study."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """`listed` are the instances that the PACS lists of a study, `received` the SOP Instance UIDs of those of
    them that are on this side; `problem` is the last that the PACS had with one of the requests.
    """

    listed: Sequence[PacsInstance]
    received: frozenset[str]
    problem: PacsError | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all that is listed is here."""
        return bool(self.listed) and len(self.received) == len(_uids(self.listed))


def fetch_study(
    client: PacsClient,
    study_instance_uid: str,
    folder: Path,
    *,
    held: Collection[str] = (),
    elsewhere: Callable[[Sequence[str]], Collection[str]] = lambda _missing: (),
    on_instance: Callable[[int, int], None] = lambda _done, _of: None,
) -> Fetched:
    """Fetch a study to `folder`, without the instances that are `held`; what is missing then by series, and
    what still is one by one. Files of other studies, which nobody asked for, are deleted. `elsewhere` says
    which SOP Instance UIDs of some have come by another road, such as the receiver of a C-MOVE.

    Raises PacsError of `LINE_CODES`; other problems of the PACS are in the answer, beside what came.
    """
    fetching = _Fetching(client, study_instance_uid, folder, on_instance)
    fetching.here |= set(held)
    fetching.elsewhere = elsewhere
    fetching.list_instances()
    if not fetching.listed:
        return Fetched((), frozenset(), fetching.problem)
    missing = fetching.missing()
    if missing:
        fetching.ask(missing if held else None)
    for part in _by_series(fetching.missing()):
        fetching.ask(part)
    for one in fetching.missing()[:MOST_SINGLE]:
        fetching.ask([one])
    return Fetched(fetching.listed, frozenset(fetching.here & _uids(fetching.listed)), fetching.problem)


class _Fetching:
    def __init__(
        self,
        client: PacsClient,
        study_instance_uid: str,
        folder: Path,
        on_instance: Callable[[int, int], None],
    ) -> None:
        self.listed: list[PacsInstance] = []
        self.here: set[str] = set()
        self.elsewhere: Callable[[Sequence[str]], Collection[str]] = lambda _missing: ()
        self.problem: PacsError | None = None
        self._client = client
        self._uid = study_instance_uid
        self._folder = folder
        self._on_instance = on_instance

    def list_instances(self) -> None:
        try:
            self.listed = self._client.instances(self._uid)
        except PacsError as error:
            self._note(error)

    def missing(self) -> list[PacsInstance]:
        return [one for one in self.listed if one.sop_instance_uid not in self.here]

    def ask(self, wanted: Sequence[PacsInstance] | None) -> None:
        of = len(_uids(self.listed))
        try:
            for path in self._client.retrieve(self._uid, self._folder, wanted):
                uids = read_uids(path)
                if uids is None or uids[0] != self._uid:
                    path.unlink(missing_ok=True)
                    continue
                self.here.add(uids[1])
                self._on_instance(min(len(self.here), of), of)
        except PacsError as error:
            self._note(error)
        self.here.update(self.elsewhere([one.sop_instance_uid for one in self.missing()]))

    def _note(self, error: PacsError) -> None:
        if error.code in LINE_CODES:
            raise error
        self.problem = error


def _uids(instances: Iterable[PacsInstance]) -> set[str]:
    return {one.sop_instance_uid for one in instances}


def _by_series(instances: Iterable[PacsInstance]) -> list[list[PacsInstance]]:
    parts: dict[str, list[PacsInstance]] = defaultdict(list)
    for one in instances:
        parts[one.series_instance_uid].append(one)
    return list(parts.values())


def read_uids(path: Path) -> tuple[str, str] | None:
    """Study and SOP Instance UID of a DICOM file, of which no more than the beginning is read; None for what
    cannot be read.
    """
    from pydicom.errors import InvalidDicomError
    from pydicom.filereader import read_partial

    def is_after(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        return int(tag) > 0x0020000D

    try:
        with path.open("rb") as file:
            found = read_partial(file, stop_when=is_after)
        study, instance = str(found.StudyInstanceUID), str(found.SOPInstanceUID)
    except (InvalidDicomError, AttributeError, ValueError, EOFError, NotImplementedError, OSError):
        return None
    return study.strip("\0 "), instance.strip("\0 ")

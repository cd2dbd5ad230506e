"""A PACS in this process, which gives what a test lets it give, and notes what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Self
from uuid import uuid4

from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.client import Spend
from medsiglip.ingest.pacs.connection import Connection
from medsiglip.ingest.pacs.records import EchoAnswer, PacsInstance, PacsQuery, PacsStudy, StoreOutcome
from tests.api.archive.pacs.small_studies import SmallStudy

AWAY = PacsError("pacs-unreachable", "The PACS main does not answer: start it.", may_pass=True)
REFUSED = PacsError("pacs-failed", "The PACS main answers with status A700.")


@dataclass
class ScriptedPacs:
    """`files` are what it holds, by study and by SOP Instance UID, as series and content. It lists all of
    them, but gives those that are `lost` only when they are asked for one by one, and those that are `gone`
    never. `problems` are raised where a study is fetched, each once; `before` is called there.
    """

    files: dict[str, dict[str, tuple[str, bytes]]] = field(default_factory=dict)
    dates: dict[str, str] = field(default_factory=dict)
    patients: dict[str, str] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    problems: dict[str, list[BaseException]] = field(default_factory=dict)
    before: Callable[[str], None] = lambda _uid: None
    asked: list[str] = field(default_factory=list)
    queries: list[PacsQuery] = field(default_factory=list)
    opened: int = 0

    def add(self, study: SmallStudy, *, report: bool = False) -> None:
        held = self.files.setdefault(study.uid, {})
        self.dates[study.uid] = study.date
        self.patients[study.uid] = study.patient or f"P{study.number}"
        for number in range(1, study.instances + 1):
            series = f"{study.uid}.1.{(number - 1) % study.series + 1}"
            held[study.sop(number)] = (series, study.file(number))
        if report:
            held[study.sop(999)] = (f"{study.uid}.1.99", study.file(999, report=True))

    def open(self, _connection: Connection, spend: Spend) -> ScriptedClient:
        self.opened += 1
        return ScriptedClient(self, spend)


class ScriptedClient:
    """One conversation with it."""

    def __init__(self, pacs: ScriptedPacs, spend: Spend) -> None:
        self._pacs = pacs
        self._spend = spend

    def echo(self) -> EchoAnswer:
        return EchoAnswer(0.0, "scripted")

    def studies(self, query: PacsQuery) -> Iterator[PacsStudy]:
        self._spend(1)
        self._pacs.queries.append(query)
        first, last = query.from_date or "", query.to_date or "99999999"
        for uid, held in list(self._pacs.files.items()):
            if query.study_instance_uid in (None, uid) and first <= self._pacs.dates[uid] <= last:
                patient = self._pacs.patients.get(uid, "")
                yield PacsStudy(uid, patient, study_date=self._pacs.dates[uid], instances=len(held))

    def instances(self, study_instance_uid: str) -> list[PacsInstance]:
        self._spend(1)
        held = self._pacs.files.get(study_instance_uid, {})
        return [PacsInstance(series, sop) for sop, (series, _) in held.items()]

    def retrieve(
        self, study_instance_uid: str, folder: Path, wanted: Sequence[PacsInstance] | None = None
    ) -> Iterator[Path]:
        pacs = self._pacs
        held = pacs.files[study_instance_uid]
        chosen = list(held) if wanted is None else [one.sop_instance_uid for one in wanted]
        pacs.asked.append(study_instance_uid if wanted is None else "+".join(chosen))
        pacs.before(study_instance_uid)
        if pacs.problems.get(study_instance_uid):
            raise pacs.problems[study_instance_uid].pop(0)
        self._spend(len(chosen))
        for sop in chosen:
            if sop in pacs.gone or (sop in pacs.lost and len(chosen) > 1):
                continue
            path = folder / f"{uuid4().hex}.dcm"
            path.write_bytes(held[sop][1])
            yield path

    def store(self, files: Sequence[Path]) -> list[StoreOutcome]:
        raise NotImplementedError

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def days_of(query: PacsQuery) -> tuple[date, date | None]:
    """The study dates that a query asks for."""
    assert query.from_date is not None
    first = date.fromisoformat(query.from_date)
    return first, None if query.to_date is None else date.fromisoformat(query.to_date)

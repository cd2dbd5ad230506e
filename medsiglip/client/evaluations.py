"""Evaluations over HTTP: ordered as jobs, and shown as pages."""

from __future__ import annotations

from collections.abc import Sequence

from medsiglip.answers.jobs import Job
from medsiglip.arguments import several
from medsiglip.client.connection import Connection, read
from medsiglip.client.paths import checked, path_of


class EvaluationMethods:
    """Methods of `Client`."""

    _service: Connection

    def evaluate(
        self,
        kind: str,
        *,
        prompts: str | None = None,
        probe: str | None = None,
        labels: Sequence[str] = (),
        level: str | None = None,
        where: Sequence[str] = (),
        compare: str | None = None,
        spaces: tuple[str, str] | None = None,
        reference: Sequence[str] = (),
        current: Sequence[str] = (),
        cases: int | None = None,
        permutations: int | None = None,
    ) -> Job:
        """Start an evaluation of `retrieval`, `zero-shot`, `probe`, `drift` or `robustness`; `wait` for it.

        Each kind takes some of the fields, as `medsiglip evaluate` does; `spaces` names two of the archive's
        to compare on the same cases.
        """
        body = {
            "kind": kind,
            "prompts": checked("prompts", "name", prompts),
            "probe": checked("probe", "probe", probe),
            "labels": several("labels", labels),
            "level": level,
            "where": several("where", where),
            "compare": compare,
            "spaces": None if spaces is None else list(spaces),
            "reference": several("reference", reference),
            "current": several("current", current),
            "cases": cases,
            "permutations": permutations,
        }
        return read(Job, self._service.post("/v1/evaluations", body, once=True))

    def evaluation_page(self, job: str) -> str:
        """The page of an evaluation that has ended, by the id of its job: HTML."""
        path = path_of("evaluations", ("job", "identifier", job), "page")
        return self._service.get_bytes(path).decode("utf-8")

"""The calibrations of an archive: made, listed and removed over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from medsiglip.answers.calibrations import Calibration, CalibrationList, RemovedCalibrations
from medsiglip.answers.jobs import Job
from medsiglip.arguments import several
from medsiglip.client.connection import Connection, read
from medsiglip.client.paths import checked, path_of


class CalibrationMethods:
    """Methods of `Client`."""

    _service: Connection

    def calibrate(
        self,
        *,
        prompts: str | None = None,
        probe: str | None = None,
        labels: Sequence[str] = (),
        level: str | None = None,
        where: Sequence[str] = (),
        method: str = "auto",
        error: float = 0.1,
    ) -> Job:
        """Start calibrating a prompt set or a probe, or free `labels` where neither is named; `wait` for it.

        `method` is auto, temperature, platt or isotonic, for classes auto, temperature or vector; `error` the
        bound that answers take.
        """
        body = {
            "prompts": checked("prompts", "name", prompts),
            "probe": checked("probe", "name", probe),
            "labels": several("labels", labels),
            "level": level,
            "where": several("where", where),
            "method": method,
            "error": error,
        }
        return read(Job, self._service.post("/v1/calibrations", body, once=True))

    def calibrations(self, subject: str | None = None, *, all_versions: bool = False) -> list[Calibration]:
        """The calibrations of the archive, or of one subject: `prompts:NAME`, `probe:NAME` or `labels`."""
        path = "/v1/calibrations" if subject is None else _path(subject)
        found = self._service.get(path, all_versions=all_versions or None)
        return list(read(CalibrationList, found).calibrations)

    def remove_calibration(self, subject: str, *, level: str | None = None) -> RemovedCalibrations:
        """Remove the calibrations of a subject, with all versions, of one level or of all."""
        path = _path(subject) if level is None else f"{_path(subject)}?level={quote(level, safe='')}"
        return read(RemovedCalibrations, self._service.delete(path))


def _path(subject: str) -> str:
    return path_of("calibrations", ("subject", "subject", subject))

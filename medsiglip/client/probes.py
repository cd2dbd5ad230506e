"""The part of `Client` that is about probes that come and go, and what to label next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medsiglip.answers.figures import Probe
from medsiglip.answers.jobs import Job
from medsiglip.answers.probe_figures import ProbeCurves, ProbeSuspects
from medsiglip.answers.probes import ExportedProbe, ProbeSuggestions
from medsiglip.arguments import several
from medsiglip.client.connection import AnyPath, Connection, read
from medsiglip.client.paths import checked, path_of
from medsiglip.probes.files import LONGEST, unzipped, write_files


class ProbeMethods:
    """Methods of `Client`."""

    _service: Connection

    def export_probe(self, name: str, out: AnyPath) -> ExportedProbe:
        """Write a probe, `NAME` or `NAME@2`, as probe.json and probe.safetensors into the folder `out`."""
        shown = read(Probe, self._service.get(path_of("probes", ("name", "probe", name))))
        version = shown.version or 1
        whole = f"{shown.name}@{version}"
        content = self._service.get_bytes(path_of("probes", ("name", "probe", whole), "export"))
        files = unzipped(content)
        folder = Path(out).expanduser().absolute()
        write_files(folder, files)
        return ExportedProbe(name=shown.name, version=version, path=str(folder), files=tuple(sorted(files)))

    def import_probe(self, path: AnyPath, name: str | None = None) -> Probe:
        """Take in the probe of a folder that an export made, or of its zip, under its own name or another."""
        given = Path(path).expanduser()
        files = [given / one for one in LONGEST] if given.is_dir() else [given]
        form = {"name": checked("name", "name", name)}
        return read(Probe, self._service.send_files("/v1/probes/import", files, form))

    def probe_card(self, name: str) -> str:
        """The card of a probe, `NAME` or `NAME@2`: a page of HTML for a colleague."""
        return self._service.get_bytes(path_of("probes", ("name", "probe", name), "card")).decode("utf-8")

    def probe_curves(self, name: str) -> ProbeCurves:
        """What the scores of a probe, `NAME` or `NAME@2`, are worth at every threshold, out of fold."""
        return read(ProbeCurves, self._service.get(path_of("probes", ("name", "probe", name), "curves")))

    def suspects(self, name: str, n: int = 50) -> ProbeSuspects:
        """The cases whose labels look wrong to a probe, the most suspicious first."""
        path = path_of("probes", ("name", "probe", name), "suspects")
        return read(ProbeSuspects, self._service.get(path, n=n))

    def store_predictions(self, name: str, *, where: Sequence[str] = ()) -> Job:
        """Start scoring the archive with a probe, for filters such as `probe:NAME>0.8`; `wait` for it."""
        path = path_of("probes", ("name", "probe", name), "predictions")
        return read(Job, self._service.post(path, {"where": several("where", where)}, once=True))

    def suggest(self, name: str, n: int = 20, *, where: Sequence[str] = ()) -> ProbeSuggestions:
        """The studies that are most worth labelling next for a probe, one of each patient."""
        path = path_of("probes", ("name", "probe", name), "suggestions")
        return read(ProbeSuggestions, self._service.get(path, n=n, where=several("where", where)))

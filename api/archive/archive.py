"""`Archive`: a home and a model, and one method for each verb of the command line and of the HTTP service.

Answers are plain dicts in the shapes of the JSON contract, so that every way to ask gives the same answer.
Everything is opened at its first use: asking what the archive holds loads no model, and an ingest with
nothing new loads no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsiglip.api.archive.opened import OnNote, silent
from medsiglip.api.archive.payload import plain
from medsiglip.api.archive.reporting import ReportingArchive
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.ingest.privacy.deidentify import Phi
    from medsiglip.ingest.units.plan import PlanOptions

Answer = dict[str, Any]
OnProgress = Callable[[str, int, int | None], None]
AnyPath = str | Path


class Archive(ReportingArchive):
    """Cases in a home directory, encoded with one model.

    `home` is the folder (`~` is expanded), `model` is `tiny`, a checkpoint folder or a hub id; unset, the
    home's own model, else `tiny`. `options` are the other fields of `medsiglip.api.settings.Settings`; what
    is not given comes from the environment. Nothing is opened, created or loaded before a method needs it.
    Use it as a context manager, or call `close`.
    """

    # Cases go in, are looked at, and leave.

    def ingest(
        self,
        paths: Sequence[AnyPath],
        *,
        metadata: AnyPath | None = None,
        workers: int | None = None,
        plan: PlanOptions | None = None,
        phi: Phi | None = None,
        dry_run: bool = False,
        within: Sequence[Path] | None = None,
        reports: Sequence[AnyPath] = (),
        show_burned_in: bool = False,
        on_progress: OnProgress = silent,
    ) -> Answer:
        """Embed what is new under `paths` and add it.

        `metadata` is a CSV for plain pictures, `phi` how much of a person's data the home keeps [what it
        keeps already, at first `pseudonymous`], `reports` are files (.csv, .html) to write about the run,
        which show pictures that may name the patient only with `show_burned_in`. With `dry_run`, tell
        what would be done and leave the home alone. Links below `paths` that lead out of the folders
        `within` are not followed. The home is made if it is not there yet. A file that cannot be used is
        a line of the report and never ends the run.
        """
        from medsiglip.api.archive.ingestion import IngestRequest
        from medsiglip.api.archive.ingestion import dry_run as rehearse
        from medsiglip.api.archive.ingestion import ingest as run

        given: dict[str, Any] = {"metadata": metadata, "workers": workers, "plan": plan, "phi": phi}
        given["within"] = None if within is None else tuple(within)
        request = IngestRequest(paths, given, reports, show_burned_in)
        if dry_run:
            return rehearse(self, request, on_progress)
        report = run(self, request, on_progress)
        routed = self.run_routes(again=False, on_progress=on_progress)
        problems = [f"Route {one['route']}: {one['message']}" for one in routed["problems"]]
        return {**report, "warnings": [*report["warnings"], *problems], "routed": routed["sent"]}

    def watch(
        self,
        paths: Sequence[AnyPath],
        *,
        settle: float,
        metadata: AnyPath | None = None,
        workers: int | None = None,
        plan: PlanOptions | None = None,
        phi: Phi | None = None,
        reports: Sequence[AnyPath] = (),
        show_burned_in: bool = False,
        on_progress: OnProgress = silent,
        on_batch: OnNote = silent,
    ) -> Answer:
        """Ingest whatever arrives under `paths`, once it has not changed for `settle` seconds, until Ctrl-C
        or SIGTERM; the sum of all batches, each of which is told to `on_batch`.
        """
        from medsiglip.api.archive.ingestion import IngestRequest, watch

        given = {"metadata": metadata, "workers": workers, "plan": plan, "phi": phi}
        request = IngestRequest(paths, given, reports, show_burned_in)
        return watch(self, request, settle, on_progress, on_batch)

    def studies(self, where: Sequence[str] = ()) -> Answer:
        """The studies that fit all expressions of `where`."""
        return {"studies": plain(self.index.studies(where))}

    def study(self, uid: str, *, identity: bool = False) -> Answer:
        """One study with its series and images; `identity` adds who it is, if the home keeps that. Raises
        ServiceError `unknown-study`.
        """
        from medsiglip.api.archive.queries import stored_study_uid

        detail = self.index.study(stored_study_uid(self, uid))
        series = [
            {**plain(one.series), "instances": one.instances, "images": one.images} for one in detail.series
        ]
        study = plain(detail.study)
        named = {"identity": study.pop("identity")}
        return {
            **study,
            **(named if identity and named["identity"] else {}),
            "labels": plain(detail.labels),
            "series": series,
            "images": plain(detail.images),
        }

    def forget(self, *, patient: str | None = None, study: str | None = None) -> Answer:
        """Remove a patient (by key) or a study, its vectors and its search entries."""
        if (patient is None) == (study is None):
            raise ServiceError("one-of", "give either a patient's key or a study's UID to forget.")
        if patient is not None:
            removed = self.index.remove_patient(patient)
        else:
            from medsiglip.api.archive.queries import stored_study_uid

            removed = self.index.remove_study(stored_study_uid(self, str(study)))
        return {"patient_key": patient, "study_instance_uid": study, **plain(removed)}

    # The three questions.

    def search(
        self,
        *,
        text: str | None = None,
        image: AnyPath | None = None,
        study: str | None = None,
        image_id: int | None = None,
        k: int = 10,
        level: str | None = None,
        where: Sequence[str] = (),
        include_same_patient: bool = False,
    ) -> Answer:
        """The `k` nearest images, series or studies to a text, a picture file, a study or a stored image."""
        from medsiglip.api.archive.search import SearchRequest, search

        return search(
            self, SearchRequest(text, image, study, image_id, k, level, tuple(where), include_same_patient)
        )

    def classify(
        self,
        *,
        images: Sequence[AnyPath] = (),
        study: str | None = None,
        labels: Sequence[str] | None = None,
        prompts: str | None = None,
    ) -> Answer:
        """Zero-shot scores of picture files or a study against free `labels` or a prompt set."""
        from medsiglip.api.archive.classification import classify

        return classify(self, images=images, study=study, labels=labels, prompts=prompts)

    def train_probe(
        self,
        name: str,
        *,
        labels_csv: AnyPath | None = None,
        labels: Sequence[str] = (),
        level: str = "image",
        where: Sequence[str] = (),
    ) -> Answer:
        """Train and keep a linear probe on the columns of a CSV, or on stored labels."""
        from medsiglip.api.archive.probing import train_probe

        return train_probe(self, name, labels_csv=labels_csv, labels=labels, level=level, where=where)

    def probes(self) -> Answer:
        """The probes of the home."""
        from medsiglip.api.archive.probing import list_probes

        return list_probes(self)

    def probe(self, name: str) -> Answer:
        """One probe with its out-of-fold figures."""
        from medsiglip.api.archive.probing import show_probe

        return show_probe(self, name)

    def delete_probe(self, name: str) -> Answer:
        """Remove a probe for good."""
        from medsiglip.api.archive.probing import delete_probe

        return delete_probe(self, name)

    def predict_probe(self, name: str, *, images: Sequence[AnyPath] = (), study: str | None = None) -> Answer:
        """Probabilities of a probe's labels for picture files or a study."""
        from medsiglip.api.archive.probing import predict_probe

        return predict_probe(self, name, images=images, study=study)

    def predict_all(self, name: str, *, out: AnyPath | None = None, where: Sequence[str] = ()) -> Answer:
        """Probabilities for every row of the archive, as a table in `out` or, without it, in the answer."""
        from medsiglip.api.archive.probing import predict_all

        return predict_all(self, name, out=out, where=where)

    # Figures on labelled cases.

    def evaluate_retrieval(
        self, *, labels: Sequence[str] = (), level: str = "image", where: Sequence[str] = ()
    ) -> Answer:
        """Precision, recall and mean average precision of neighbours among other patients."""
        from medsiglip.api.archive.evaluation import evaluate_retrieval

        return evaluate_retrieval(self, labels=labels, level=level, where=where)

    def evaluate_zero_shot(
        self, prompts: str, *, labels: Sequence[str] = (), level: str = "study", where: Sequence[str] = ()
    ) -> Answer:
        """AUROC of a prompt set against the stored labels of the same names."""
        from medsiglip.api.archive.evaluation import evaluate_zero_shot

        return evaluate_zero_shot(self, prompts, labels=labels, level=level, where=where)

    def evaluate_probe(self, name: str, *, where: Sequence[str] = ()) -> Answer:
        """AUROC of a probe against the stored labels of the same names, on patients it was not trained on."""
        from medsiglip.api.archive.probing import evaluate_probe

        return evaluate_probe(self, name, where=where)

    # Files, labels and upkeep.

    def embed(
        self,
        paths: Sequence[AnyPath],
        out: AnyPath,
        *,
        plan: PlanOptions | None = None,
        on_progress: OnProgress = silent,
    ) -> Answer:
        """Write one embedding per image of `paths` to the Parquet file `out`."""
        from medsiglip.api.archive.rendering import embed

        return embed(self, paths, Path(out), plan, on_progress)

    def render(
        self,
        paths: Sequence[AnyPath],
        out: AnyPath,
        *,
        plan: PlanOptions | None = None,
        on_progress: OnProgress = silent,
    ) -> Answer:
        """Write each image of `paths` as a PNG in the folder `out`, as drawn before resizing."""
        from medsiglip.api.archive.rendering import render

        return render(self, paths, Path(out), plan, on_progress)

    def import_labels(self, csv: AnyPath) -> Answer:
        """Store the labels of a CSV; rows that name nothing in the archive are reported."""
        from medsiglip.api.archive.labels import import_labels

        return import_labels(self, Path(csv))

    def labels(self) -> Answer:
        """The stored labels with how many rows have them and how many are positive."""
        return {
            "labels": [
                {"label": one.name, "level": one.level, "n": one.records, "positive": one.positive}
                for one in self.index.labels()
            ]
        }

    def index_info(self) -> Answer:
        """Counts of the archive."""
        info: Mapping[str, Any] = plain(self.index.info())
        return {**info, "home": str(self.home)}

    def verify(self) -> Answer:
        """Whether catalogue, vectors and search index agree."""
        checked: Answer = plain(self.index.verify())
        return checked

    def rebuild(self) -> Answer:
        """Build the search index anew from the stored vectors."""
        self.index.rebuild()
        return self.index_info()

    def compact(self) -> Answer:
        """Merge small vector files."""
        merged = self.index.compact()
        return {**self.index_info(), **plain(merged)}

    def recover(self) -> Answer:
        """Make the home fit its catalogue, an older one than the home was left with; see
        `medsiglip.index.storage.older_catalogue`. The archive must not be open.
        """
        from medsiglip.api.catalogue_url import catalogue_url
        from medsiglip.index.storage.older_catalogue import recover

        recovered: Answer = plain(recover(self.home, database_url=catalogue_url(self.settings)))
        return recovered

    def export(self, out: AnyPath) -> Answer:
        """Write `images.parquet` into the folder `out`."""
        from medsiglip.api.archive.files import output_folder

        index = self.index
        folder = output_folder(out, mode=0o700)
        rows = index.export(folder)
        return {"path": str(folder / "images.parquet"), "images": rows}

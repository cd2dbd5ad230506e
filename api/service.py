"""`Archive`: a home and a model, and one method for each verb of the command line and of the HTTP service.

Answers are plain dicts in the shapes of the JSON contract, so that every way to ask gives the same answer.
Everything is opened at its first use: asking what the archive holds loads no model, and an ingest with
nothing new loads no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from api.errors import ServiceError
from api.payload import plain

if TYPE_CHECKING:
    from api.settings import Settings
    from index.case_index import CaseIndex
    from index.records import Space
    from ingest.deidentify import Phi
    from ingest.plan import PlanOptions
    from medsiglip.checkpoint import Checkpoint
    from medsiglip.encoder import Encoder

Answer = dict[str, Any]
OnNote = Callable[[str], None]
OnProgress = Callable[[str, int, int | None], None]
AnyPath = str | Path

DEMONSTRATION = (
    "the model is `tiny`, a demonstration model trained on drawn phantoms: its answers say nothing about "
    "patients; choose google/medsiglip-448 with --model for a new home"
)


def _silent(*_: Any) -> None:
    """Tell nobody."""


class Archive:
    """Cases in a home directory, encoded with one model.

    `home` is the folder (`~` is expanded), `model` is `tiny`, a checkpoint folder or a hub id; unset, the
    home's own model, else `tiny`. `options` are the other fields of `api.settings.Settings`; what is not
    given comes from the environment. Nothing is opened, created or loaded before a method needs it. Use it as
    a context manager, or call `close`.
    """

    def __init__(
        self, home: AnyPath, *, model: str | None = None, on_note: OnNote = _silent, **options: Any
    ) -> None:
        from api.settings import read_settings

        self._begin(read_settings(home=home, model=model, **options), on_note)

    @classmethod
    def from_settings(cls, settings: Settings, *, on_note: OnNote = _silent) -> Archive:
        """The archive that these settings name."""
        archive = cls.__new__(cls)
        archive._begin(settings, on_note)
        return archive

    def _begin(self, settings: Settings, on_note: OnNote) -> None:
        self.settings = settings
        self.note = on_note
        self._noted = False

    @property
    def home(self) -> Path:
        """Folder that holds the archive, absolute."""
        return self.settings.home

    @cached_property
    def index(self) -> CaseIndex:
        """The cases of the home; opening it creates, migrates and repairs."""
        from index.case_index import CaseIndex

        return CaseIndex.open(self.home, database_url=self.settings.database_url)

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The chosen model's checkpoint, opened without torch."""
        from medsiglip.checkpoint import open_checkpoint

        stored = self.index.space
        model = self.settings.model or (stored.model if stored else "") or "tiny"
        checkpoint = open_checkpoint(model, hash_cache=self.home / "checkpoint-hashes.json")
        if checkpoint.is_demonstration:
            self._note_demonstration()
        return checkpoint

    def _note_demonstration(self) -> None:
        if not self._noted:
            self._noted = True
            self.note(DEMONSTRATION)

    @cached_property
    def space(self) -> Space:
        """The space that the chosen model and profile span.

        Raises CatalogError `space-mismatch` when the home's vectors belong to another.
        """
        from index.records import Space
        from medsiglip.preprocess import DEFAULT_PROFILE

        stored = self.index.space
        profile = self.settings.profile or (stored.profile if stored else DEFAULT_PROFILE)
        checkpoint = self.checkpoint
        space = Space(checkpoint.hash, profile, checkpoint.dimension, self._model_name(checkpoint))
        if stored is not None and stored != space:
            self.index.activate(space)
        return space

    @property
    def searchable_space(self) -> Space:
        """The space of an archive that holds something; raises CatalogError `no-space` or `space-mismatch`.

        The checkpoint is opened only to compare it when a model or profile was chosen: stored vectors need
        none.
        """
        stored = self.index.space
        if stored is None:
            from index.errors import CatalogError

            raise CatalogError("no-space", f"{self.home} holds nothing yet; ingest a folder first.")
        if self.settings.model is None and self.settings.profile in (None, stored.profile):
            if stored.model == "tiny":
                self._note_demonstration()
            return stored
        return self.space

    @staticmethod
    def _model_name(checkpoint: Checkpoint) -> str:
        """What opens this checkpoint again, from any working folder."""
        is_hub_id = "/" in checkpoint.name
        return checkpoint.name if checkpoint.is_demonstration or is_hub_id else str(checkpoint.folder)

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder of the space, loaded at its first use (torch takes seconds)."""
        from medsiglip.encoder import Encoder

        return Encoder(
            self.checkpoint,
            profile=self.space.profile,
            device=self.settings.device,
            precision=self.settings.precision,
            batch_size=self.settings.batch_size,
        )

    def close(self) -> None:
        """Close the index, if it was opened."""
        opened = self.__dict__.pop("index", None)
        if opened is not None:
            opened.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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
        reports: Sequence[AnyPath] = (),
        on_progress: OnProgress = _silent,
    ) -> Answer:
        """Embed what is new under `paths` and add it.

        `metadata` is a CSV for plain pictures, `phi` how much of a person's data the home keeps [what it
        keeps already, at first `pseudonymous`], `reports` are files (.csv, .html) to write about the run.
        With `dry_run`, tell what would be done and leave the home alone. A file that cannot be used is a line
        of the report and never ends the run.
        """
        from api.ingestion import IngestRequest
        from api.ingestion import dry_run as rehearse
        from api.ingestion import ingest as run

        given = {"metadata": metadata, "workers": workers, "plan": plan, "phi": phi}
        return (rehearse if dry_run else run)(self, IngestRequest(paths, given, reports), on_progress)

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
        on_progress: OnProgress = _silent,
        on_batch: OnNote = _silent,
    ) -> Answer:
        """Ingest whatever arrives under `paths`, once it has not changed for `settle` seconds, until Ctrl-C
        or SIGTERM; the sum of all batches, each of which is told to `on_batch`.
        """
        from api.ingestion import IngestRequest, watch

        given = {"metadata": metadata, "workers": workers, "plan": plan, "phi": phi}
        return watch(self, IngestRequest(paths, given, reports), settle, on_progress, on_batch)

    def studies(self, where: Sequence[str] = ()) -> Answer:
        """The studies that fit all expressions of `where`."""
        return {"studies": plain(self.index.studies(where))}

    def study(self, uid: str, *, identity: bool = False) -> Answer:
        """One study with its series and images; `identity` adds who it is, if the home keeps that. Raises
        ServiceError `unknown-study`.
        """
        detail = self.index.study(uid)
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
            removed = self.index.remove_study(str(study))
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
        from api.search import SearchRequest, search

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
        from api.classification import classify

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
        from api.probing import train_probe

        return train_probe(self, name, labels_csv=labels_csv, labels=labels, level=level, where=where)

    def probes(self) -> Answer:
        """The probes of the home."""
        from api.probing import list_probes

        return list_probes(self)

    def probe(self, name: str) -> Answer:
        """One probe with its out-of-fold figures."""
        from api.probing import show_probe

        return show_probe(self, name)

    def predict_probe(self, name: str, *, images: Sequence[AnyPath] = (), study: str | None = None) -> Answer:
        """Probabilities of a probe's labels for picture files or a study."""
        from api.probing import predict_probe

        return predict_probe(self, name, images=images, study=study)

    def predict_all(self, name: str, *, out: AnyPath | None = None, where: Sequence[str] = ()) -> Answer:
        """Probabilities for every row of the archive, as a table in `out` or, without it, in the answer."""
        from api.probing import predict_all

        return predict_all(self, name, out=out, where=where)

    # Figures on labelled cases.

    def evaluate_retrieval(
        self, *, labels: Sequence[str] = (), level: str = "image", where: Sequence[str] = ()
    ) -> Answer:
        """Precision, recall and mean average precision of neighbours among other patients."""
        from api.evaluation import evaluate_retrieval

        return evaluate_retrieval(self, labels=labels, level=level, where=where)

    def evaluate_zero_shot(
        self, prompts: str, *, labels: Sequence[str] = (), level: str = "study", where: Sequence[str] = ()
    ) -> Answer:
        """AUROC of a prompt set against the stored labels of the same names."""
        from api.evaluation import evaluate_zero_shot

        return evaluate_zero_shot(self, prompts, labels=labels, level=level, where=where)

    def evaluate_probe(self, name: str, *, where: Sequence[str] = ()) -> Answer:
        """AUROC of a probe against the stored labels of the same names, on patients it was not trained on."""
        from api.probing import evaluate_probe

        return evaluate_probe(self, name, where=where)

    # Files, labels and upkeep.

    def embed(
        self,
        paths: Sequence[AnyPath],
        out: AnyPath,
        *,
        plan: PlanOptions | None = None,
        on_progress: OnProgress = _silent,
    ) -> Answer:
        """Write one embedding per image of `paths` to the Parquet file `out`."""
        from api.rendering import embed

        return embed(self, paths, Path(out), plan, on_progress)

    def render(
        self,
        paths: Sequence[AnyPath],
        out: AnyPath,
        *,
        plan: PlanOptions | None = None,
        on_progress: OnProgress = _silent,
    ) -> Answer:
        """Write each image of `paths` as a PNG in the folder `out`, as drawn before resizing."""
        from api.rendering import render

        return render(paths, Path(out), plan, on_progress)

    def import_labels(self, csv: AnyPath) -> Answer:
        """Store the labels of a CSV; rows that name nothing in the archive are reported."""
        from api.labels import import_labels

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

    def export(self, out: AnyPath) -> Answer:
        """Write `images.parquet` into the folder `out`."""
        folder = Path(out).expanduser().absolute()
        rows = self.index.export(folder)
        return {"path": str(folder / "images.parquet"), "images": rows}

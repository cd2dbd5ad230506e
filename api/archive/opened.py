"""`OpenedArchive`: the index of a home, its model, and the space that the two share, opened when needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, wraps
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, overload

from medsiglip.api.archive.backgrounds import Backgrounds

if TYPE_CHECKING:
    from medsiglip.api.encoder.shared_encoder import EncoderLimits, SharedEncoder
    from medsiglip.api.settings import Settings
    from medsiglip.checkpoint import Checkpoint
    from medsiglip.encoder import Encoder
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.index.records import Space
    from medsiglip.ingest.workers.rendering_pool import RenderingPool

OnNote = Callable[[str], None]
OnProgress = Callable[[str, int, int | None], None]
"""Gets the stage, how much is done, and of how much, None while that is unknown."""
Value = TypeVar("Value")
Given = ParamSpec("Given")

# After a switch of the home's model: questions that were begun with the former one end within it.
_STILL_USED_SECONDS = 60.0
DEMONSTRATION = (
    "the model is `tiny`, a demonstration model trained on phantoms: its answers say nothing about "
    "patients; choose google/medsiglip-448 with --model for a new home"
)


def silent(*_: Any) -> None:
    """Ignore notes and progress."""


class opened_once(cached_property[Value]):  # noqa: N801  (used as `cached_property` is)
    """A `cached_property` that is computed once, also when several threads need it at the same time."""

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> Value: ...
    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Self | Value:
        if instance is None:
            return self
        with instance._opening:
            value: Value = super().__get__(instance, owner)
            return value


class OpenedArchive:
    """The index, the model and the settings of a home: what every verb of this folder gets.

    Nothing is opened, created or loaded before something needs it.
    """

    def __init__(
        self, home: str | Path, *, model: str | None = None, on_note: OnNote = silent, **options: Any
    ) -> None:
        from medsiglip.api.settings import read_settings

        self._begin(read_settings(home=home, model=model, **options), on_note)

    @classmethod
    def from_settings(cls, settings: Settings, *, on_note: OnNote = silent) -> Self:
        """The archive that these settings name."""
        archive = cls.__new__(cls)
        archive._begin(settings, on_note)
        return archive

    def _begin(self, settings: Settings, on_note: OnNote) -> None:
        self.settings = settings
        self.note = on_note
        self._noted = False
        self._opening = threading.RLock()
        self._limits: EncoderLimits | None = None
        self.backgrounds = Backgrounds()

    @property
    def home(self) -> Path:
        """Folder that holds the archive, absolute."""
        return self.settings.home

    @opened_once
    def index(self) -> CaseIndex:
        """The cases of the home; opening it migrates and repairs, and `ingest` alone makes it.

        Raises CatalogError `no-archive` where there is none.
        """
        return self._open(create=False)

    def _open(self, create: bool) -> CaseIndex:
        from medsiglip.api.catalogue_url import catalogue_url
        from medsiglip.api.object_place import object_place
        from medsiglip.index.case_index import CaseIndex
        from medsiglip.index.engines.opening import EngineSetting

        url = self.settings.vector_url
        return CaseIndex.open(
            self.home,
            create=create,
            database_url=catalogue_url(self.settings),
            index_kind=self.settings.index_kind,
            objects=object_place(self.settings),
            vector_engine=None if url is None else EngineSetting(url, self.settings.vector_password_file),
        )

    def make(self) -> None:
        """Make the archive if it is not there yet."""
        if not self.is_there:
            self.index = self._open(create=True)

    @property
    def is_there(self) -> bool:
        """Whether the home holds an archive."""
        from medsiglip.index.errors import CatalogError

        try:
            return self.index is not None
        except CatalogError as error:
            if error.code != "no-archive":
                raise
            return False

    @opened_once
    def checkpoint(self) -> Checkpoint:
        """The chosen model's checkpoint, opened without torch."""
        from medsiglip.checkpoint import open_checkpoint

        stored = self.stored_space
        model = self.settings.model or (stored.model if stored else "") or "tiny"
        hashes = self.home / "checkpoint-hashes.json" if self.is_there else None
        checkpoint = open_checkpoint(model, hash_cache=hashes)
        if checkpoint.is_demonstration:
            self._note_demonstration()
        return checkpoint

    @property
    def stored_space(self) -> Space | None:
        """The space that the home works in now; None where there is no archive or it holds nothing."""
        return self.index.space if self.is_there else None

    def _note_demonstration(self) -> None:
        if not self._noted:
            self._noted = True
            self.note(DEMONSTRATION)

    @property
    def space(self) -> Space:
        """The space that the chosen model and profile span; without a choice, the home's own, also when
        `index reembed` has switched it to another meanwhile.

        Raises CatalogError `space-mismatch` when the home's vectors belong to another.
        """
        stored = self.stored_space
        self._follow(stored)
        own = self._own_space
        if stored is not None and stored != own:
            self.index.activate(own)
        return own

    def _follow(self, stored: Space | None) -> None:
        """Forget a model that was not chosen and that the home does not work with any more. Questions may
        still be using it, so that a process of its own ends only later.
        """
        if stored is None or self.settings.model is not None:
            return
        if self.settings.profile not in (None, stored.profile):
            return
        with self._opening:
            own, checkpoint = self.__dict__.get("_own_space"), self.__dict__.get("checkpoint")
            if own is None and checkpoint is not None:  # opened, and not yet compared
                own = replace(stored, checkpoint_hash=checkpoint.hash)
            if own in (None, stored):
                return
            former = self.__dict__.pop("encoder", None)
            for name in ("checkpoint", "_own_space"):
                self.__dict__.pop(name, None)
        if hasattr(former, "close"):
            ending = threading.Timer(_STILL_USED_SECONDS, former.close)
            ending.daemon = True
            ending.start()

    @opened_once
    def _own_space(self) -> Space:
        from medsiglip.index.records import Space
        from medsiglip.preprocess import DEFAULT_PROFILE

        stored = self.stored_space
        profile = self.settings.profile or (stored.profile if stored else DEFAULT_PROFILE)
        checkpoint = self.checkpoint
        return Space(checkpoint.hash, profile, checkpoint.dimension, self.model_name(checkpoint))

    @property
    def searchable_space(self) -> Space:
        """The space of an archive that holds something; raises CatalogError `no-space` or `space-mismatch`.

        The checkpoint is opened only to compare it when a model or profile was chosen: stored vectors need
        none.
        """
        stored = self.index.space
        if stored is None:
            from medsiglip.index.errors import CatalogError

            raise CatalogError("no-space", f"{self.home} holds nothing yet; ingest a folder first.")
        if self.settings.model is None and self.settings.profile in (None, stored.profile):
            self._follow(stored)
            if stored.model == "tiny":
                self._note_demonstration()
            return stored
        return self.space

    @staticmethod
    def model_name(checkpoint: Checkpoint) -> str:
        """What opens this checkpoint again, from any working folder."""
        is_hub_id = "/" in checkpoint.name
        return checkpoint.name if checkpoint.is_demonstration or is_hub_id else str(checkpoint.folder)

    def share(self, limits: EncoderLimits | None = None) -> None:
        """Share one encoding process and rendering workers between all threads of a server.

        Call it before anything else; each process is started when it is first needed.
        """
        from medsiglip.api.encoder.shared_encoder import EncoderLimits

        self._limits = limits or EncoderLimits()

    @opened_once
    def encoder(self) -> Encoder | SharedEncoder:
        """The encoder of the space, loaded at its first use (torch takes seconds), or, where the archive is
        shared, by a process that this starts without waiting for it.
        """
        return self.encoder_of(self.checkpoint, self.space.profile)

    def encoder_of(self, checkpoint: Checkpoint, profile: str) -> Encoder | SharedEncoder:
        """An encoder of any checkpoint, as the settings want it."""
        options: dict[str, Any] = {
            "profile": profile,
            "device": self.settings.device,
            "precision": self.settings.precision,
            "batch_size": self.settings.batch_size,
        }
        if self._limits is not None:
            from medsiglip.api.encoder.shared_encoder import SharedEncoder

            return SharedEncoder(checkpoint, **options, limits=self._limits)
        from medsiglip.encoder import Encoder

        return Encoder(checkpoint, **options)

    @property
    def shared_encoder(self) -> SharedEncoder | None:
        """The encoder of a shared archive, if it has been needed yet."""
        return self.__dict__.get("encoder") if self._limits is not None else None

    @opened_once
    def rendering_pool(self) -> RenderingPool:
        """Renders the files of questions: one worker, and this process for what is small and plain;
        where the archive is shared, workers alone.
        """
        from medsiglip.ingest.workers.rendering_pool import RenderingPool

        if self._limits is None:
            return RenderingPool(1, in_process=True)
        return RenderingPool(self.settings.workers)

    @property
    def patient_encoder(self) -> Encoder | SharedEncoder:
        """The encoder for long work, which waits its turn where a question would be refused."""
        encoder = self.encoder
        return getattr(encoder, "patient", encoder)

    def close(self) -> None:
        """End the processes that were started, and close the index, if it was opened."""
        for name in ("encoder", "rendering_pool", "index"):
            self._close(name)

    def _close(self, name: str) -> None:
        opened = self.__dict__.pop(name, None)
        if hasattr(opened, "close"):
            opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def in_one_space(
    verb: Callable[Concatenate[OpenedArchive, Given], Value],
) -> Callable[Concatenate[OpenedArchive, Given], Value]:
    """A verb that compares stored vectors with a model: while the home is switched to another by `index
    reembed`, it would compare those of one with the other, and raises CatalogError `space-switched` instead.
    """

    @wraps(verb)
    def checked(archive: OpenedArchive, /, *args: Given.args, **named: Given.kwargs) -> Value:
        before = archive.stored_space
        try:
            answer = verb(archive, *args, **named)
        except Exception as error:  # of any sort, where vectors of two lengths met
            _require_same(archive, before, error)
            raise
        _require_same(archive, before, None)
        return answer

    return checked


def _require_same(archive: OpenedArchive, before: Space | None, cause: Exception | None) -> None:
    if before is not None and archive.stored_space != before:
        from medsiglip.index.catalogue.spaces import switched

        raise switched() from cause

"""Keeping the index of a home: cleaning up, checking, rebuilding, tuning, compacting and exporting it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.case_stores import CaseStores
from medsiglip.index.errors import CatalogError
from medsiglip.index.info_records import IndexInfo, TuningTrial
from medsiglip.index.records import (
    Compaction,
    Verification,
)
from medsiglip.index.search.kind_choice import ChoiceFile, KindChoice
from medsiglip.index.storage import crash_recovery, trash
from medsiglip.index.storage.compaction import compact
from medsiglip.index.storage.full_text_agreement import mend_full_text
from medsiglip.index.storage.sweeping import forget_copies, note_remaining, require_gone, sweep


class CaseUpkeep(CaseStores):
    """What `medsiglip.index.case_index.CaseIndex` does for itself. Every method may raise the errors of disk
    and database.
    """

    def clean_up(self) -> list[str]:
        """Delete the files that deletions left to delete, move files of interrupted writes to the trash,
        delete what has been there for a week, empty SQLite's log if a deletion could not, and renew the
        database's statistics. Returns the globs of objects in a bucket of which something may remain.

        Processes that write to a home call this now and then; opening a home does not.
        """
        remain = sweep(self._database)
        crash_recovery.collect(self._database)
        trash.empty(self._database.home)
        in_trash = trash.empty_objects(self._database.objects)
        note_remaining(self._database, in_trash)
        forget_copies(self._database)
        self._database.empty_log()
        self._database.analyze()
        return [*remain, *in_trash]

    def delete_objects(self, names: Sequence[str]) -> None:
        """Delete objects that no row names; those that cannot be deleted now are when the index cleans up."""
        try:
            remain = self._database.objects.delete(names)
        except CatalogError:
            remain = list(names)
        note_remaining(self._database, remain)

    def discard(self, paths: Sequence[Path]) -> None:
        """Move files or folders of the home to its trash, where they stay for a week."""
        trash.move(self._database.home, paths, trash.UNFINISHED)

    def announce(self, pattern: str) -> str:
        """Log that files are about to be written, by a glob relative to the home in which `{token}` stands
        for the token that is returned; the row that will refer to the files takes the token.
        """
        return crash_recovery.announce(self._database, pattern)

    def info(self, *, asks_engine: bool = True) -> IndexInfo:
        """Counts of the home and of the active space; those of a vector engine only if it is asked."""
        from medsiglip.index.search.home_info import info

        return info(self._database, self._current, asks_engine=asks_engine)

    def verify(self, deep: bool = False) -> Verification:
        """Compare SQL, shards and FAISS with each other, reading all of them; with `deep`, also each shard
        with its checksum, and the snapshot on disk with the shards.
        """
        from medsiglip.index.search.check import verify

        return verify(self._database, self._current, deep)

    def check_recall(self, queries: int = 4, k: int = 10) -> float:
        """Mean part of the exact k nearest vectors that a search finds, with stored vectors as queries: 1 for
        an exact or empty index. Of vectors in an engine it is estimated by some thousand of them.
        """
        from medsiglip.index.search.recall import check_recall

        return check_recall(self._current, queries, k)

    def rebuild(self, queries: NDArray[np.float32] | None = None) -> IndexInfo:
        """Build the index from the shards again to suit `queries`, float32 [m, d], and its snapshot; where
        full-text search does not agree with the report texts, build that again too.
        """
        self._current.rebuild(queries)
        mend_full_text(self._database)
        return self.info()

    def tune(self, texts: NDArray[np.float32]) -> list[TuningTrial]:
        """Ways to search, tried on vectors of the home and on those of `texts`, float32 [m, d]; see `tuning`.

        Raises `CatalogError` `no-space` or `too-few-images`.
        """
        from medsiglip.index.search.tuning import tune

        return tune(self._current, texts)

    def choose_kind(self, kind: str, recall: float | None = None) -> None:
        """Keep in the home which kind of index it is to use from the next rebuild or start on, and the recall
        that approximate answers are to have; a kind that `open` was told has precedence.
        """
        name = self._current.needed().space.name
        ChoiceFile(self._database.home, name).write(KindChoice(kind, recall))

    def compact(self) -> Compaction:
        """Merge small shards, and clean up. Raises `CatalogError` `versions-remain` where something that was
        deleted, now or before, may be left in a bucket.
        """
        done = compact(self._database)
        require_gone(self._database, self.clean_up())
        return done

    def feed_engine(self, seconds: float = math.inf, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Tell the vector engine what changed, so that searches need not; whether there is an engine.

        Raises `CatalogError` `catalog-busy` where more waits after so many `seconds`, or when it was
        `stopped`; and the errors of the engine.
        """
        engine = self._current.engine
        if engine is not None:
            engine.catch_up(seconds, stopped)
        return engine is not None

    def engine_answers(self) -> bool:
        """Whether the vector engine answers now; True without one."""
        from medsiglip.index.search.home_info import engine_answers

        return engine_answers(self._current)

    def export(self, folder: Path) -> int:
        """Write `images.parquet` with a row for each image of the active space; returns their number."""
        from medsiglip.index.search.export import export

        return export(self._database, self._current.needed(), Path(folder).expanduser().absolute())

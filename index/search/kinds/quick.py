"""Exact search by bounds, and beside it approximate search in a small part of the time, where one accepts it.

`exact=False` asks fast-scan codes for candidates (`medsiglip.index.search.kinds.quick_search`). Their width
and number are the cheapest that reached a recall on queries held out (`quick_learning`); where none did, or
none was faster than the exact search, all answers are exact.
"""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from medsiglip.index.info_records import MeasuredRecall
from medsiglip.index.search.kinds.bounded import LEAST, BoundedIndex, read_bounded
from medsiglip.index.search.kinds.bounded_search import ProvenShare
from medsiglip.index.search.kinds.memory_held import HeldBytes
from medsiglip.index.search.kinds.quick_codes import QuickCodes
from medsiglip.index.search.kinds.quick_learning import RECALL, Learning, Trial, cheapest
from medsiglip.index.search.kinds.quick_search import OperatingPoint, quick_search
from medsiglip.index.search.kinds.vector_search import Mask, Neighbours
from medsiglip.index.search.query_sample import DAMAGED
from medsiglip.index.vectors import Ids, Vectors

# Up to so many rows that may not answer are fetched with the candidates and dropped; with more the search is
# exact, for fast scan knows no filters.
_LEFT_OUT = 1000
# With candidates beyond this part of the rows, an exact search costs less.
_MOST = 0.25
# A query of which the axes leave out more than this part of its squared length is of no sort that recall was
# measured on, if no texts were at hand.
_OF_ANOTHER_SORT = 0.5
_FORMAT, _ALIGNED = "quick 2", 4096


class AnswerCount:
    """How many answers were approximate, since the process began."""

    def __init__(self) -> None:
        self.approximate = 0
        self._lock = threading.Lock()

    def add(self, answers: int) -> None:
        """Count answers; from any thread."""
        with self._lock:
            self.approximate += answers


@dataclass(frozen=True, slots=True)
class _Learnt:
    codes: QuickCodes
    trial: Trial


class QuickIndex:
    """`VectorSearch`: exact by a `BoundedIndex`, approximate by codes that hold `recall` of the exact ten
    nearest. Both learn once there are `least` rows.
    """

    def __init__(
        self,
        dimension: int,
        query_sample: Vectors | None = None,
        *,
        least: int = LEAST,
        recall: float = RECALL,
    ) -> None:
        self.exact = BoundedIndex(dimension, query_sample, least=least)
        self.recall = recall
        self.count = AnswerCount()
        self._texts = np.empty((0, dimension), np.float32) if query_sample is None else query_sample
        self._least = self._next_learning = least
        self._learnt: _Learnt | None = None

    @property
    def spec(self) -> str:
        """As in `VectorSearch`."""
        return self.exact.spec if self._learnt is None else f"{self.exact.spec}+{self._learnt.codes.spec}"

    @property
    def ids(self) -> Ids:
        """As in `VectorSearch`."""
        return self.exact.ids

    @property
    def trial(self) -> Trial | None:
        """The trial by which the codes were chosen; None where all answers are exact."""
        return None if self._learnt is None else self._learnt.trial

    @property
    def measured_recall(self) -> MeasuredRecall | None:
        """The recall of approximate answers when the codes were chosen; None where all are exact."""
        return None if self.trial is None else self.trial.recall

    @property
    def share(self) -> ProvenShare:
        """How many of the exact answers bounds proved."""
        return self.exact.share

    @property
    def approximate(self) -> int:
        """How many answers were approximate."""
        return self.count.approximate

    def copy(self) -> QuickIndex:
        """As in `VectorSearch`."""
        other = QuickIndex(self.exact.dimension, self._texts, least=self._least, recall=self.recall)
        other.exact, other.count = self.exact.copy(), self.count
        other._next_learning = self._next_learning
        if self._learnt is not None:
            other._learnt = _Learnt(self._learnt.codes.copy(), self._learnt.trial)
        return other

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """As in `VectorSearch`."""
        if not len(ids):
            return
        vectors = np.ascontiguousarray(vectors, np.float32)
        if len(self.ids) + len(ids) >= self._next_learning:
            # The axes of both, for those of the exact index may have been read from a file just now.
            self.exact.learn_later()
            self.exact.add(ids, vectors)
            self.exact.learn_now()
            self._learn_codes()
            return
        self.exact.add(ids, vectors)
        if self._learnt is not None:
            self._learnt.codes.add(vectors)

    def remove(self, ids: Ids) -> None:
        """As in `VectorSearch`."""
        gone = np.isin(self.ids, ids)
        if gone.any():
            self.exact.remove(ids)
            if self._learnt is not None:
                self._learnt.codes.keep(~gone)

    def rows(self, ids: Ids) -> Vectors:
        """As in `VectorSearch`."""
        return self.exact.rows(ids)

    def memory(self) -> HeldBytes:
        """As in `VectorSearch`."""
        held = self.exact.memory()
        return held if self._learnt is None else held._replace(codes=held.codes + self._learnt.codes.nbytes)

    def learn_later(self) -> None:
        """Learn nothing before `learn_now`, however many rows are added until then."""
        self._next_learning = sys.maxsize
        self.exact.learn_later()

    def learn_now(self) -> None:
        """Learn what `learn_later` put off, if there are enough rows."""
        self.exact.learn_now()
        if self._next_learning == sys.maxsize:
            self._next_learning = self._least
            if len(self.ids) >= self._least:
                self._learn_codes()

    def learn(self) -> None:
        """Learn axes and codes anew from the rows and the sample of queries."""
        self.exact.learn()
        self._learn_codes()

    def _learn_codes(self) -> None:
        self._next_learning = 4 * len(self.ids)
        self._learnt = None  # the former codes lack the new rows
        found = cheapest(Learning(self.exact.held, self._texts), self.recall)
        self._learnt = None if found is None else _Learnt(*found)

    # Search

    def search(
        self, queries: Vectors, k: int, allowed: Mask | None = None, *, exact: bool = True
    ) -> Neighbours:
        """As in `VectorSearch`."""
        learnt, rows = self._learnt, len(self.ids)
        left_out = 0 if allowed is None else rows - int(np.count_nonzero(allowed))
        if exact or learnt is None or left_out > _LEFT_OUT or not len(queries) or k < 1:
            return self.exact.search(queries, k, allowed)
        queries = np.ascontiguousarray(queries, np.float32)
        k = min(k, rows - left_out)
        fetch = max(k, learnt.trial.point.fetch(k, rows))
        if fetch + left_out > _MOST * rows or not _is_measured(learnt, queries):
            return self.exact.search(queries, k, allowed)
        self.count.add(len(queries))
        return quick_search(self.exact.held, learnt.codes, queries, k, fetch, allowed if left_out else None)

    # The file

    def write(self, stream: BinaryIO) -> None:
        """Write the codes and how they were chosen, and then the exact index, aligned to a page."""
        content, trial = io.BytesIO(), None
        if self._learnt is not None:
            self._learnt.codes.write(content)
            trial = asdict(self._learnt.trial)
        part = content.getvalue()
        description = {
            "format": _FORMAT,
            "recall": self.recall,
            "next_learning": self._next_learning,
            "trial": trial,
            "bytes": len(part),
            "checksum": zlib.crc32(part),
        }
        written = json.dumps(description).encode()
        head = io.BytesIO()
        np.lib.format.write_array(head, np.frombuffer(_checksum(written) + written, np.uint8))
        before = head.getvalue() + part
        stream.write(before + bytes(-len(before) % _ALIGNED))
        self.exact.write(stream)


def read_quick(path: Path, dimension: int) -> QuickIndex | None:
    """The index in a file of `QuickIndex.write`; None where it is damaged or of another dimension or kind."""
    try:
        with open(path, "rb") as stream:
            return _read(path, stream, dimension)
    except (*DAMAGED, RuntimeError, KeyError, TypeError):
        return None


def _read(path: Path, stream: BinaryIO, dimension: int) -> QuickIndex | None:
    head = np.lib.format.read_array(stream, allow_pickle=False)
    content = head.astype(np.uint8).tobytes()
    if content[:4] != _checksum(content[4:]):
        return None
    found: dict[str, Any] = json.loads(content[4:])
    part = stream.read(int(found["bytes"]))
    if found["format"] != _FORMAT or zlib.crc32(part) != found["checksum"]:
        return None
    exact = read_bounded(path, dimension, stream.tell() + -stream.tell() % _ALIGNED)
    # Another process may have put a new file in the place of the one whose codes were read.
    if exact is None or os.stat(path).st_ino != os.fstat(stream.fileno()).st_ino:
        return None
    index = QuickIndex(dimension, exact.query_sample, recall=float(found["recall"]))
    index.exact, index._next_learning = exact, int(found["next_learning"])
    if found["trial"] is not None:
        codes = QuickCodes.read(io.BytesIO(part))
        if codes is None or len(codes) != len(exact.ids) or len(codes.axes) != dimension:
            return None
        index._learnt = _Learnt(codes, _trial(found["trial"]))
    return index


def _checksum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(4, "little")


def _trial(found: dict[str, Any]) -> Trial:
    point, recall = OperatingPoint(**found["point"]), MeasuredRecall(**found["recall"])
    return Trial(point, recall, float(found["milliseconds"]), int(found["nbytes"]))


def _is_measured(learnt: _Learnt, queries: Vectors) -> bool:
    """Whether recall was measured on queries of the sort of all of these."""
    if learnt.trial.recall.texts is not None:
        return True
    inside = queries @ learnt.codes.axes
    return bool((np.einsum("ij,ij->i", inside, inside) >= 1 - _OF_ANOTHER_SORT).all())

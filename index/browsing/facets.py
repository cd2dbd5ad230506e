"""How many cases have each value of some fields, among those that fit filters."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from medsiglip.index.browsing.archive_columns import BURNED_IN, ArchiveColumns, ColumnsHolder, Mask
from medsiglip.index.browsing.browsing_records import QUALITY_MARKS, Facet, Facets, FacetValue
from medsiglip.index.browsing.label_columns import LabelColumns, label_columns
from medsiglip.index.catalogue.browsing.schema import collection_cases, collections
from medsiglip.index.catalogue.filter_expression import read_terms
from medsiglip.index.catalogue.filter_queries import parsed, passing_by_level
from medsiglip.index.catalogue.filters import Filter

MOST_VALUES = 50
"""The most values of a facet that are listed, those of most cases."""
_HELD_ANSWERS = 64
_Coding = Callable[[Sequence[Any]], tuple[list[str], NDArray[np.int64]]]
_AGES = (18, 30, 40, 50, 60, 70, 80)


class Counted(NamedTuple):
    """A value, its filter, and how many cases have it."""

    value: str
    where: str
    cases: int


class _Question(NamedTuple):
    """What a facet is counted from: the images that pass the filters of other facets."""

    connection: Connection
    columns: ArchiveColumns
    labels: LabelColumns
    chosen: Mask


class _Kind(NamedTuple):
    """A facet: its title, the names of its own filters, how it is counted, and whether its values have an
    order of their own.
    """

    title: str
    names: tuple[str, ...]
    counted: Callable[[_Question], Iterable[Counted]]
    ordered: bool = False


class FacetCounter:
    """The facets of one catalogue; answers are held until it changes. Safe for several threads."""

    def __init__(self) -> None:
        self._columns = ColumnsHolder()
        self._labels: tuple[int, LabelColumns] | None = None
        self._answers: OrderedDict[tuple[Any, ...], Facets] = OrderedDict()
        self._lock = threading.Lock()

    def facets(self, connection: Connection, where: Sequence[str]) -> Facets:
        """The facets of the cases of which an image passes all filters. The filters of a facet do not narrow
        it. Raises `CatalogError` `bad-filter`.
        """
        chosen = parsed(connection, where)
        columns = self._columns.of(connection)
        key = (columns.version, columns.space_id, *where)
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
                return self._answers[key]
        found = self._counted(connection, columns, where, chosen)
        with self._lock:
            self._answers[key] = found
            while len(self._answers) > _HELD_ANSWERS:
                self._answers.popitem(last=False)
        return found

    def without_each(self, connection: Connection, where: Sequence[str]) -> list[int]:
        """How many cases would fit without each of the filters, in their order."""
        columns = self._columns.of(connection)
        masks = [_passing(connection, columns, one) for one in parsed(connection, where)]
        failed = np.zeros(len(columns.images.ids), np.uint8)
        for mask in masks:
            failed += ~mask
        return [_studies(columns, failed - ~mask == 0) for mask in masks]

    def _counted(
        self, connection: Connection, columns: ArchiveColumns, where: Sequence[str], chosen: Sequence[Filter]
    ) -> Facets:
        masks = [_passing(connection, columns, one) for one in chosen]
        fields = [_fields_of(text) for text in where]
        labels = self._label_columns(connection, columns)
        narrowed: dict[tuple[int, ...], Mask] = {}
        facets = []
        for name, kind in KINDS.items():
            others = tuple(i for i, asked in enumerate(fields) if not asked <= set(kind.names))
            if others not in narrowed:
                narrowed[others] = _all_of(columns, [masks[i] for i in others])
            question = _Question(connection, columns, labels, narrowed[others])
            facets.append(_facet(name, kind, kind.counted(question)))
        return Facets(tuple(facets), _studies(columns, _all_of(columns, masks)))

    def _label_columns(self, connection: Connection, columns: ArchiveColumns) -> LabelColumns:
        held = self._labels
        if held is None or held[0] != columns.version:
            held = columns.version, label_columns(connection, columns)
            self._labels = held
        return held[1]


def _facet(name: str, kind: _Kind, counted: Iterable[Counted]) -> Facet:
    values = [one for one in counted if one.cases]
    if not kind.ordered:
        values.sort(key=lambda one: (-one.cases, one.value))
    listed = tuple(FacetValue(one.value, one.cases, one.where) for one in values[:MOST_VALUES])
    return Facet(name, kind.title, listed, len(values) - len(listed))


def _fields_of(text: str) -> set[str]:
    """The fields that a filter names: labels and probes by their kind, qualities by their whole name."""
    fields = set()
    for term in read_terms(text):
        one = term.expression
        whole = {"field": one.name, "quality": f"quality.{one.name}"}
        fields.add(whole.get(one.kind, one.kind))
    return fields


def _passing(connection: Connection, columns: ArchiveColumns, one: Filter) -> Mask:
    """The images, bool [n], that pass a filter."""
    found = columns.every
    for level, ids in passing_by_level(connection, [one]).items():
        if level == "image":
            found = found & np.isin(columns.images.ids, ids)
        elif level == "series":
            found = found & np.isin(columns.series_ids, ids)[columns.image_series]
        else:
            found = found & np.isin(columns.study_ids, ids)[columns.image_study]
    return found


def _all_of(columns: ArchiveColumns, masks: Sequence[Mask]) -> Mask:
    found = columns.every
    for mask in masks:
        found = found & mask
    return found


def _studies(columns: ArchiveColumns, chosen: Mask) -> int:
    return int(np.count_nonzero(columns.studies_of(chosen)))


def _escaped(value: str) -> str:
    return value.replace("|", "\\|")


def _of_series(field: str) -> Callable[[_Question], Iterable[Counted]]:
    """Counts cases by a text of their series."""

    def counted(question: _Question) -> Iterable[Counted]:
        columns = question.columns
        names, codes = _coded(columns.texts[field])
        passing = columns.series_of(question.chosen)
        pairs = np.unique(columns.series_study[passing].astype(np.int64) * len(names) + codes[passing])
        counts = np.bincount(pairs % len(names), minlength=len(names))
        return [
            Counted(name, f"{field}={_escaped(name)}", int(n)) for name, n in zip(names, counts, strict=True)
        ]

    return counted


def _coded(texts: Sequence[Any]) -> tuple[list[str], NDArray[np.int64]]:
    """The texts, each once, and the code of each; '' stands for none."""
    codes: dict[str, int] = {"": 0}
    found = np.fromiter((codes.setdefault(one or "", len(codes)) for one in texts), np.int64, len(texts))
    return list(codes), found


def _of_studies(field: str, name: str, coded: _Coding) -> Callable[[_Question], Iterable[Counted]]:
    """Counts cases by something of theirs."""

    def counted(question: _Question) -> Iterable[Counted]:
        values, codes = coded(question.columns.texts[field])
        passing = question.columns.studies_of(question.chosen)
        counts = np.bincount(codes[passing], minlength=len(values))
        return [Counted(value, f"{name}={value}", int(n)) for value, n in zip(values, counts, strict=True)]

    return counted


def _years(dates: Sequence[Any]) -> tuple[list[str], NDArray[np.int64]]:
    return _coded([date[:4] if date else "" for date in dates])


def _newest_first(question: _Question) -> Iterable[Counted]:
    return sorted(_of_studies("date", "study_date", _years)(question), reverse=True)


def _ages(question: _Question) -> Iterable[Counted]:
    columns = question.columns
    ages = np.array([np.nan if age is None else age for age in columns.texts["age"]], float)
    codes = np.where(np.isnan(ages), len(_AGES) + 1, np.searchsorted(_AGES, ages, side="right"))
    counts = np.bincount(codes[columns.studies_of(question.chosen)], minlength=len(_AGES) + 2)
    names = [f"under {_AGES[0]}", *(f"{low}-{high - 1}" for low, high in pairwise(_AGES))]
    ranges = [f"..<{_AGES[0]}", *(f"{low}..<{high}" for low, high in pairwise(_AGES))]
    names += [f"{_AGES[-1]} and over", ""]
    ranges += [f"{_AGES[-1]}..", ""]
    return [
        Counted(name, f"patient_age={given}", int(n))
        for name, given, n in zip(names, ranges, counts, strict=True)
    ]


def _marks(question: _Question) -> Iterable[Counted]:
    columns = question.columns
    for bit, name in enumerate(QUALITY_MARKS):
        marked = question.chosen & (columns.images.marks >> bit & 1).astype(bool)
        yield Counted(name, f"quality.{name}=1", _studies(columns, marked))


def _burned_in(question: _Question) -> Iterable[Counted]:
    columns = question.columns
    for code, word in enumerate(BURNED_IN):
        held = question.chosen & (columns.images.burned_in == code)
        yield Counted(word, f"quality.burned_in={word}", _studies(columns, held))


def _labels(question: _Question) -> Iterable[Counted]:
    counts = question.labels.counts(question.columns, question.chosen)
    for name, count in zip(question.labels.names, counts, strict=True):
        yield Counted(name, f"label:{name}=1", int(count))


def _collections(question: _Question) -> Iterable[Counted]:
    held = select(collections.c.name, collection_cases.c.study_id).join(collection_cases)
    passing = question.columns.studies_of(question.chosen)
    ids = set(question.columns.study_ids[passing].tolist())
    counts: dict[str, int] = {}
    for name, study_id in question.connection.execute(held):
        counts[name] = counts.get(name, 0) + (study_id in ids)
    return [Counted(name, f"collection={_escaped(name)}", n) for name, n in counts.items()]


KINDS: Mapping[str, _Kind] = {
    "modality": _Kind("Modality", ("modality",), _of_series("modality")),
    "body_part_examined": _Kind("Body part", ("body_part_examined",), _of_series("body_part_examined")),
    "label": _Kind("Label", ("label",), _labels),
    "age": _Kind("Age", ("patient_age",), _ages, ordered=True),
    "sex": _Kind("Sex", ("patient_sex",), _of_studies("sex", "patient_sex", _coded)),
    "year": _Kind("Year", ("study_date",), _newest_first, ordered=True),
    "quality": _Kind("Quality", tuple(f"quality.{name}" for name in QUALITY_MARKS), _marks),
    "burned-in": _Kind("Burned-in annotation", ("quality.burned_in",), _burned_in),
    "collection": _Kind("Collection", ("collection",), _collections),
}
"""The facets, in the order in which they are shown."""

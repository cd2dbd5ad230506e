"""Series to which two runs add files at the same time: each renders its own together, and the one that
commits last finds those of the other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from medsiglip.index.scratch import portions

if TYPE_CHECKING:
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.index.records import SeriesBundle
    from medsiglip.ingest.header.header import Header
    from medsiglip.ingest.privacy.deidentify import SecretKey
    from medsiglip.ingest.run.triage import Identity
    from medsiglip.ingest.units.plan import PlanOptions, Unit

_Series = tuple[str, str]


class SharedSeries:
    """What one run has committed of the series that are rendered as a whole, by study and series UID."""

    def __init__(self) -> None:
        self._firsts: dict[tuple[_Series, bool], Header] = {}
        self._known: dict[_Series, set[Identity]] = {}
        self._committed: set[_Series] = set()

    def expect(self, units: Iterable[Unit]) -> None:
        """Follow the series of these units."""
        for unit in units:
            first = unit.headers[0]
            place = first.study_instance_uid, first.series_instance_uid
            if unit.whole_series:
                self._firsts[place, first.is_slide] = first
                self._known.setdefault(place, set()).update(unit.beside)

    def take(self, bundle: SeriesBundle) -> None:
        """Note what was committed."""
        place = bundle.study.study_instance_uid, bundle.series.series_instance_uid
        if place in self._known:
            self._committed.add(place)
            self._known[place] |= {(one.sop_instance_uid, one.pixel_hash) for one in bundle.instances}

    def units(
        self, own: Collection[str], index: CaseIndex, key: SecretKey, options: PlanOptions
    ) -> list[Unit]:
        """Units of the series that were committed since the last call and of which the index holds more:
        all of their files together, those of the other run as well as the `own`.
        """
        from medsiglip.ingest.run.regroup import plan_anew

        committed, self._committed = self._committed, set()
        counts: dict[_Series, int] = {}
        for uids in portions({uid for _, uid in committed}):
            counts |= index.files.instance_counts(uids)
        grown = {place for place in committed if counts.get(place, 0) > len(self._known[place])}
        firsts = [first for (place, _), first in self._firsts.items() if place in grown]
        planned = [plan_anew(first, own, index, key, options) for first in firsts]
        return [unit for unit in planned if unit is not None]

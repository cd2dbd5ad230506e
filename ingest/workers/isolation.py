"""Which files of a unit lose a worker: halved until each to blame stands alone, and left out of the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from medsiglip.ingest.errors import WorkerLostError
from medsiglip.ingest.units.plan import Unit
from medsiglip.ingest.workers.rendered_unit import DrawnUnit, ImageFacts, reject_unit
from medsiglip.ingest.workers.unit_rendering import FileOutcome

Draw = Callable[[Unit], DrawnUnit]
# Workers that one unit may cost; a file to blame among n costs about log2 n. What is not looked at by then is
# rejected with the files that were.
MAX_LOSSES = 32


def draw_or_isolate(draw: Draw, unit: Unit) -> DrawnUnit:
    """Draw a unit; if the worker is lost over it, leave out the files to blame. `draw` raises
    `WorkerLostError`.
    """
    try:
        return draw(unit)
    except WorkerLostError as error:
        code = error.code
    if len(unit.headers) == 1:
        return _second_look(draw, unit) if code == "decoder-crashed" else reject_unit(unit, code)
    search = _Search(draw, unit, code)
    search.among(range(len(unit.headers)))
    guilty = search.guilty
    kept = [file for file in range(len(unit.headers)) if file not in guilty]
    if not kept:
        return DrawnUnit(tuple(FileOutcome(file, None, code) for file, code in sorted(guilty.items())))
    try:
        rest = draw(_only(unit, kept))
    except WorkerLostError as error:
        return reject_unit(unit, error.code)
    files = [replace(outcome, file=kept[outcome.file]) for outcome in rest.files]
    files += [FileOutcome(file, None, code) for file, code in guilty.items()]
    return DrawnUnit(tuple(files), tuple(_moved(image, kept) for image in rest.images), rest.inputs)


def _second_look(draw: Draw, unit: Unit) -> DrawnUnit:
    """Draw a file once more: a worker may also die of the file before, or of a machine short of memory."""
    try:
        return draw(unit)
    except WorkerLostError as error:
        return reject_unit(unit, error.code)


class _Search:
    """`guilty`: the code of each file to blame, by its place in the unit."""

    def __init__(self, draw: Draw, unit: Unit, code: str) -> None:
        self._draw = draw
        self._unit = unit
        self._code = code
        self._losses = 1
        self.guilty: dict[int, str] = {}

    def among(self, files: Sequence[int]) -> None:
        """Look into files that lost a worker together."""
        halves = [files[: len(files) // 2], files[len(files) // 2 :]]
        for half in halves:
            if self._losses >= MAX_LOSSES:
                self.guilty.update(dict.fromkeys(half, self._code))
                continue
            try:
                self._draw(_only(self._unit, half))
            except WorkerLostError as error:
                self._losses += 1
                self._code = error.code
                if len(half) == 1:
                    self.guilty[half[0]] = error.code
                else:
                    self.among(half)


def _only(unit: Unit, kept: Sequence[int]) -> Unit:
    place = {file: i for i, file in enumerate(kept)}
    slices = tuple(replace(s, file=place[s.file]) for s in unit.slices if s.file in place)
    return replace(unit, headers=tuple(unit.headers[file] for file in kept), slices=slices)


def _moved(image: ImageFacts, kept: Sequence[int]) -> ImageFacts:
    return replace(image, slice=replace(image.slice, file=kept[image.slice.file]))

"""Which files of a unit make workers crash or hang, found by halving the unit, and the unit without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from medsiglip.ingest.errors import WorkerLostError
from medsiglip.ingest.units.plan import Unit
from medsiglip.ingest.units.rendered_image import FileOutcome
from medsiglip.ingest.workers.rendered_unit import ImageFacts, RenderedUnit, reject_unit

RenderUnit = Callable[[Unit], RenderedUnit]
# Workers that one unit may cost; a faulty file among n costs about log2 n. Files not tried by then are
# rejected too.
MAX_LOSSES = 32


def render_or_isolate(render: RenderUnit, unit: Unit) -> RenderedUnit:
    """Render a unit; if a worker is lost, find the files that cause it and leave them out.

    `render` raises `WorkerLostError`.
    """
    try:
        return render(unit)
    except WorkerLostError as error:
        code = error.code
    if len(unit.headers) == 1:
        return _retry(render, unit) if code == "decoder-crashed" else reject_unit(unit, code)
    search = _Search(render, unit, code)
    search.run(range(len(unit.headers)))
    faulty = search.faulty
    kept = [file for file in range(len(unit.headers)) if file not in faulty]
    if not kept:
        return RenderedUnit(tuple(FileOutcome(file, None, code) for file, code in sorted(faulty.items())))
    try:
        rest = render(_only(unit, kept))
    except WorkerLostError as error:
        return reject_unit(unit, error.code)
    files = [replace(outcome, file=kept[outcome.file]) for outcome in rest.files]
    files += [FileOutcome(file, None, code) for file, code in faulty.items()]
    return RenderedUnit(tuple(files), tuple(_moved(image, kept) for image in rest.images), rest.inputs)


def _retry(render: RenderUnit, unit: Unit) -> RenderedUnit:
    """Render a file once more: the cause may be the file before it, or a machine short of memory."""
    try:
        return render(unit)
    except WorkerLostError as error:
        return reject_unit(unit, error.code)


class _Search:
    """`faulty`: the codes of the files that lose a worker, by their index in the unit."""

    def __init__(self, render: RenderUnit, unit: Unit, code: str) -> None:
        self._render = render
        self._unit = unit
        self._code = code
        self._losses = 1
        self.faulty: dict[int, str] = {}

    def run(self, files: Sequence[int]) -> None:
        """Search among files that lost a worker together."""
        halves = [files[: len(files) // 2], files[len(files) // 2 :]]
        for half in halves:
            if self._losses >= MAX_LOSSES:
                self.faulty.update(dict.fromkeys(half, self._code))
                continue
            try:
                self._render(_only(self._unit, half))
            except WorkerLostError as error:
                self._losses += 1
                self._code = error.code
                if len(half) == 1:
                    self.faulty[half[0]] = error.code
                else:
                    self.run(half)


def _only(unit: Unit, kept: Sequence[int]) -> Unit:
    place = {file: i for i, file in enumerate(kept)}
    slices = tuple(replace(s, file=place[s.file]) for s in unit.slices if s.file in place)
    return replace(unit, headers=tuple(unit.headers[file] for file in kept), slices=slices)


def _moved(image: ImageFacts, kept: Sequence[int]) -> ImageFacts:
    return replace(image, slice=replace(image.slice, file=kept[image.slice.file]))

"""Which kind of index a home was told to use, such as by `index tune --apply`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from medsiglip.index.search.kinds.index_kinds import AUTO, KINDS
from medsiglip.index.vectors import atomic_file, make_folder


@dataclass(frozen=True, slots=True)
class KindChoice:
    """The name of a kind, or `auto`, and the recall that approximate answers are to have; None: as usual."""

    kind: str = AUTO
    recall: float | None = None


class ChoiceFile:
    """The choice for one space, `faiss/choice-<space>.json` of the home."""

    def __init__(self, home: Path, space: str) -> None:
        self._file = home / "faiss" / f"choice-{space}.json"

    def write(self, choice: KindChoice) -> None:
        """Replace the choice."""
        make_folder(self._file.parent)
        with atomic_file(self._file) as stream:
            stream.write(json.dumps(asdict(choice)).encode())

    def read(self) -> KindChoice:
        """The choice; the usual one where none can be read."""
        try:
            found = json.loads(self._file.read_bytes())
            choice = KindChoice(str(found["kind"]), found["recall"])
        except (OSError, ValueError, KeyError, TypeError):
            return KindChoice()
        recall = choice.recall
        fits = recall is None or (isinstance(recall, int | float) and 0 < recall <= 1)
        return choice if fits and choice.kind in (AUTO, *KINDS) else KindChoice()

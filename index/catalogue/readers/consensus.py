"""What readers say of a case, and the label of the archive that follows from it.

Each reader has one value of a label at a case, the last that was given. The archive has the label that more
than half of those readers gave who said something of it; where they are divided evenly it has none. What
nobody is named for counts while no reader has spoken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median_low

NOBODY = ""
"""In place of a reader: labels of before readers were noted, and those that come with the files of cases."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value that somebody gave a label; of a class, 1, with the column that it stood in."""

    value: float
    is_class: bool = False
    class_column: str | None = None


Changes = list[tuple[str, str, Given | None]]
"""Reader, name and what is given from now on, None where it is taken back."""


@dataclass(slots=True)
class Opinions:
    """What each reader says of one case now: values by name, by reader."""

    by_reader: dict[str, dict[str, Given]] = field(default_factory=dict)

    def note(self, reader: str, name: str, given: Given | None) -> None:
        """Take in a row; later ones replace earlier ones."""
        theirs = self.by_reader.setdefault(reader, {})
        if given is None:
            theirs.pop(name, None)
        else:
            theirs[name] = given

    def changes(self, reader: str, said: Mapping[str, Given | None]) -> Changes:
        """What has to be noted for a reader to say this, in order; nothing where all was said before.

        A class replaces the reader's other classes of the case. What nobody is named for gives way to a
        reader who speaks of it.
        """
        mine = self.by_reader.get(reader, {})
        names_a_class = any(one is not None and one.is_class for one in said.values())
        replaced: dict[str, Given | None] = {}
        if names_a_class:
            replaced = {name: None for name, one in mine.items() if one.is_class}
        wanted = {**replaced, **said}
        changed = [(reader, name, one) for name, one in wanted.items() if mine.get(name) != one]
        if reader == NOBODY:
            return changed
        unnamed = [
            name
            for name, one in self.by_reader.get(NOBODY, {}).items()
            if name in said or (names_a_class and one.is_class)
        ]
        noted = {name for _, name, _ in changed}
        # The reader's own row beside it: so the action that took it away is the reader's.
        changed += [(reader, name, wanted.get(name)) for name in unnamed if name not in noted]
        return changed + [(NOBODY, name, None) for name in unnamed]

    def archive_labels(self) -> dict[str, Given]:
        """The labels that the archive has of the case, by name."""
        found = {}
        for name in self._names():
            said = self.of(name)
            chosen = _majority(list(said.values()))
            if chosen is not None:
                found[name] = chosen
        return found

    def of(self, name: str) -> dict[str, Given | None]:
        """What each reader who says something of a label says, None for who gave another class in its place;
        where no reader does, what nobody is named for.
        """
        named = {reader: theirs for reader, theirs in self.by_reader.items() if reader != NOBODY}
        said = dict(_said(named, name))
        unnamed = self.by_reader.get(NOBODY, {}).get(name)
        if said or unnamed is None or (unnamed.is_class and any(map(_names_a_class, named.values()))):
            return said
        return {NOBODY: unnamed}

    def disagrees(self, name: str) -> bool:
        """Whether readers contradict each other about a label."""
        said = list(self.of(name).values())
        return any(map(_is_positive, said)) and not all(map(_is_positive, said))

    def _names(self) -> list[str]:
        return sorted({name for theirs in self.by_reader.values() for name in theirs})


def _said(by_reader: Mapping[str, Mapping[str, Given]], name: str) -> Iterator[tuple[str, Given | None]]:
    """What each reader says of a label. A class that one reader gave is denied by another class."""
    is_class = any(theirs[name].is_class for theirs in by_reader.values() if name in theirs)
    for reader, theirs in by_reader.items():
        if name in theirs:
            yield reader, theirs[name]
        elif is_class and _names_a_class(theirs):
            yield reader, None


def _names_a_class(theirs: Mapping[str, Given]) -> bool:
    return any(one.is_class for one in theirs.values())


def _is_positive(one: Given | None) -> bool:
    return one is not None and one.value > 0


def _majority(said: list[Given | None]) -> Given | None:
    """The value of more than half: of values on the side that has most, the middle one of those given."""
    for side in (True, False):
        same = [one for one in said if _is_positive(one) == side]
        if 2 * len(same) > len(said):
            stated = [one for one in same if one is not None]
            if not stated:
                return None
            middle = median_low(one.value for one in stated)
            return next(one for one in stated if one.value == middle)
    return None

"""A given split of the rows into a training, a validation and a test part."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medsiglip.errors import ModelError
from medsiglip.probes.targets import Flags

_PARTS = {"train": 1, "training": 1, "validation": 2, "valid": 2, "val": 2, "dev": 2, "test": 3, "testing": 3}
_NAMES = ("training", "validation", "test")


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The part of each row: flags [n], of which at most one is set; without any, a row is left out."""

    training: Flags
    validation: Flags
    test: Flags

    @property
    def given(self) -> Flags:
        """The rows [n] that are in a part."""
        given: Flags = self.training | self.validation | self.test
        return given

    @staticmethod
    def of_names(names: Sequence[str | None]) -> "Split":
        """The split of the parts' names: train, validation or test, in whatever case; empty is in none.

        Raises ModelError "bad-split" for another name, and where there is no training or no test part.
        """
        numbers = np.array([part_number(name) for name in names], dtype=np.intp)
        split = Split(numbers == 1, numbers == 2, numbers == 3)
        for number, part in ((1, split.training), (3, split.test)):
            if not part.any():
                raise ModelError(
                    "bad-split",
                    f"The split has no {_NAMES[number - 1]} part among the labelled rows; give some of them "
                    f"the value '{'train' if number == 1 else 'test'}', or train without a split.",
                )
        return split

    def rows(self, chosen: Flags) -> "Split":
        """The split of some rows [n]."""
        return Split(self.training[chosen], self.validation[chosen], self.test[chosen])

    def require_apart(self, groups: Sequence[object], used: Flags) -> None:
        """Raise ModelError "patient-in-two-splits" where a group [n] has rows in two parts."""
        parts = np.where(self.training, 0, np.where(self.validation, 1, 2))
        found: dict[object, int] = {}
        twice: dict[object, tuple[int, int]] = {}
        for row in np.flatnonzero(self.given & used).tolist():
            group = groups[row]
            if group is not None and found.setdefault(group, int(parts[row])) != parts[row]:
                twice[group] = (found[group], int(parts[row]))
        if twice:
            first, (one, other) = next(iter(twice.items()))
            raise ModelError(
                "patient-in-two-splits",
                f"{len(twice)} {'patient has' if len(twice) == 1 else 'patients have'} rows in two parts of "
                f"the split, such as {first} in {_NAMES[one]} and {_NAMES[other]}; put all rows of a patient "
                "into one part.",
            )


def part_number(name: str | None) -> int:
    """1 for training, 2 for validation, 3 for test, 0 for an empty name; else ModelError "bad-split"."""
    text = (name or "").strip().casefold()
    if text and text not in _PARTS:
        raise ModelError(
            "bad-split",
            f"The split has the value '{text[:40]}'; the parts are train, validation and test, or empty for "
            "a row to leave out.",
        )
    return _PARTS[text] if text else 0

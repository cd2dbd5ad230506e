"""A given split of the rows into a training, a validation and a test part."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medsiglip.errors import ModelError
from medsiglip.probes.targets import Flags

_PARTS = {"train": 0, "training": 0, "validation": 1, "valid": 1, "val": 1, "dev": 1, "test": 2, "testing": 2}
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
        numbers = np.array([_number(name) for name in names], dtype=np.intp)
        split = Split(numbers == 0, numbers == 1, numbers == 2)
        for number, part in ((0, split.training), (2, split.test)):
            if not part.any():
                raise ModelError(
                    "bad-split",
                    f"The split has no {_NAMES[number]} part among the labelled rows; give some of them the "
                    f"value '{'train' if number == 0 else 'test'}', or train without a split.",
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


def _number(name: str | None) -> int:
    text = (name or "").strip().casefold()
    if text and text not in _PARTS:
        raise ModelError(
            "bad-split",
            f"The split has the value '{text[:40]}'; the parts are train, validation and test, or empty for "
            "a row to leave out.",
        )
    return _PARTS[text] if text else -1

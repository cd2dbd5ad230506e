"""What a probe says of rows whose group it has not seen."""

from dataclasses import dataclass

from medsiglip.numerics import Floats, Integers


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """Predictions of n rows for L labels, each by the probe of the fold that the row's group is not in.

    `rows` [n] are the positions of these rows among those that were given to the training, and `groups` [n]
    number their groups from 0. `truth` [n, L] is 1, 0 or NaN (not known). `logits` and `probability` [n, L]
    are what the fold's probe says, `scores` [n, L] its logits relative to its base rate, so that they can be
    pooled over folds. `fold` [n] counts from 0. Of classes that exclude each other, `exclusive`, the
    probabilities of a row add up to 1.
    """

    labels: tuple[str, ...]
    rows: Integers
    groups: Integers
    fold: Integers
    truth: Floats
    logits: Floats
    probability: Floats
    scores: Floats
    exclusive: bool = False

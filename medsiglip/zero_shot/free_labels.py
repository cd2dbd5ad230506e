"""Free labels: the texts of a caller, without a prompt set.

Each label becomes a pair of texts for what it is about, present against absent, and is scored on its own, as
a finding of a prompt set is. A label that denies what it is about ("no pleural effusion") is the other side
of the same pair, so that its score is one minus that of the plain label. Of labels that exclude each other,
where the caller says so, the texts are the labels as given, and they compete in a softmax.
"""

from collections.abc import Sequence

from medsiglip.errors import ModelError
from medsiglip.tokenizer import canonicalise
from medsiglip.zero_shot.label_reading import ReadLabel, read_label
from medsiglip.zero_shot.prompt_set import LabelPrompts, PromptSet

NAME = "labels"
"""The name of a set of free labels."""


def free_labels(labels: Sequence[str], *, exclusive: bool = False) -> PromptSet:
    """A prompt set of the caller's own labels, which are echoed unchanged.

    Raises ModelError: "no-labels", "empty-label", "one-exclusive-label" for a label that has nothing to
    exclude, or "duplicate-label" for labels that are the same text to the tokenizer, which lower-cases, drops
    punctuation and folds white space.
    """
    if not labels:
        raise ModelError("no-labels", "No labels were given; name at least one.")
    if exclusive and len(labels) == 1:
        message = f"The label '{labels[0]}' has no other that it excludes; name two, or drop 'exclusive'."
        raise ModelError("one-exclusive-label", message)
    by_folded: dict[str, str] = {}
    for position, label in enumerate(labels, start=1):
        folded = canonicalise(label)
        if not folded:
            raise ModelError(
                "empty-label",
                f"Label {position} of {len(labels)} holds no word; give it a text or leave it out.",
            )
        if folded in by_folded:
            message = (
                f"The labels '{by_folded[folded]}' and '{label}' are the same text to the model; drop one."
            )
            raise ModelError("duplicate-label", message)
        by_folded[folded] = label
    if exclusive:
        return PromptSet(NAME, "exclusive-labels", {label: LabelPrompts((label,)) for label in labels})
    return PromptSet(NAME, "labels", {label: _pair(folded) for folded, label in by_folded.items()})


def _pair(folded: str) -> LabelPrompts:
    read = read_label(folded)
    present, absent = _texts(read)
    if read.negated:
        return LabelPrompts(absent, present, negated=True)
    return LabelPrompts(present, absent)


def _texts(read: ReadLabel) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The texts that say that it is there, and those that say that it is not.

    On phantoms the demonstration model tells findings apart equally well (mean AUROC .990 to .993) by any of
    five such templates; a general "normal" in place of the denials makes it worse (.975).
    """
    if read.is_normality:
        before = f"{read.carrier} with " if read.carrier else ""
        return (f"{before}abnormal {read.finding}".strip(),), (f"{before}normal {read.finding}".strip(),)
    if read.carrier:
        carrier, finding = read.carrier, read.finding
        return (f"{carrier} with {finding}",), (
            f"{carrier} without {finding}",
            f"{carrier} with no {finding}",
        )
    return (read.finding,), (f"no {read.finding}", f"no evidence of {read.finding}")

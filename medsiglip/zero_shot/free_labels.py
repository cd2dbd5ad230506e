"""Free labels: the texts of a caller, without a prompt set."""

from collections.abc import Sequence

from medsiglip.errors import ModelError
from medsiglip.tokenizer import canonicalise
from medsiglip.zero_shot.prompt_set import LabelPrompts, PromptSet


def free_labels(labels: Sequence[str]) -> PromptSet:
    """A prompt set of the caller's own labels, each embedded as given and echoed unchanged.

    Several labels compete in a softmax. One label alone has nothing to compete with and gets SigLIP's own
    pair probability, sigmoid(cosine * scale + bias). Raises ModelError: "no-labels", "empty-label", or
    "duplicate-label" for labels that are the same text to the tokenizer, which lower-cases, drops punctuation
    and folds white space.
    """
    if not labels:
        raise ModelError("no-labels", "No labels were given; name at least one.")
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
    return PromptSet("labels", "labels", {label: LabelPrompts((label,)) for label in labels})

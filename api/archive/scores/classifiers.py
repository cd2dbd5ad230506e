"""The classifier of a prompt set with the archive's model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.api.encoder.shared_encoder import SharedEncoder
    from medsiglip.encoder import Encoder
    from medsiglip.zero_shot.classifier import Scoring, ZeroShotClassifier
    from medsiglip.zero_shot.prompt_set import PromptSet


def prompt_classifier(
    archive: OpenedArchive, prompt_set: PromptSet, scoring: Scoring = "protocol"
) -> ZeroShotClassifier:
    """A classifier for this prompt set with the archive's model."""
    _ = archive.space  # the model follows a home that was switched to another
    return encoder_classifier(archive.encoder, prompt_set, scoring)


def encoder_classifier(
    encoder: Encoder | SharedEncoder, prompt_set: PromptSet, scoring: Scoring = "protocol"
) -> ZeroShotClassifier:
    """A classifier for this prompt set with any model."""
    from medsiglip.zero_shot.classifier import ZeroShotClassifier

    return ZeroShotClassifier(
        prompt_set,
        encoder.encode_texts,
        encoder.logit_scale,
        encoder.logit_bias,
        scoring,
        f"{encoder.checkpoint.hash} {encoder.precision}",
    )

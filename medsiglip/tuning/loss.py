"""The sigmoid loss where a caption may be right for several pictures."""

from __future__ import annotations

from typing import Any

import torch


def make_loss() -> Any:
    """Return open_clip's `SigLipLoss` with one change: its attribute `right` [n, m] says which pairs match.

    The published loss (Zhai et al., arXiv 2303.15343, algorithm 1) takes a picture's own caption alone for
    right, and so calls the same words wrong for every other picture of the batch that they fit just as well.
    """
    from open_clip.loss import SigLipLoss

    class ListedCaptionLoss(SigLipLoss):  # type: ignore[misc]
        right: torch.Tensor

        def get_ground_truth(
            self, device: torch.device, dtype: torch.dtype, num_logits: int, negative_only: bool = False
        ) -> torch.Tensor:
            return 2 * self.right.to(device=device, dtype=dtype) - 1

    return ListedCaptionLoss()

"""Muon: against PyTorch's own, which computes in bfloat16, and by its defining property."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from medsiglip.tuning.optimizer import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(1, 24, 24), (3, 16, 40), (2, 40, 16)])
def test_singular_values_come_near_one_and_vectors_stay(shape: Any) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    result = orthogonalise(matrices)
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    values = u.mT @ result @ vh.mT
    kept = torch.diagonal(values, dim1=1, dim2=2)
    assert torch.all((kept > 0.3) & (kept < 1.3))
    torch.testing.assert_close(values, torch.diag_embed(kept), atol=1e-4, rtol=0)


def test_steps_like_pytorch() -> None:
    start = torch.randn(32, 48, generator=torch.Generator().manual_seed(1))
    target = torch.randn(32, 48, generator=torch.Generator().manual_seed(2))
    ended = []
    for make in (
        lambda p: Muon(p, lr=0.01, weight_decay=0.05),
        lambda p: torch.optim.Muon(p, lr=0.01, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
    ):
        matrix = torch.nn.Parameter(start.clone())
        optimizer = make([matrix])
        for _ in range(12):
            optimizer.zero_grad()
            (matrix - target).square().sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        ended.append((matrix.detach() - start).flatten())
    ours, theirs = ended
    assert torch.cosine_similarity(ours, theirs, dim=0) > 0.999
    assert ours.norm() / theirs.norm() == pytest.approx(1, abs=0.01)


def test_only_matrices_are_taken() -> None:
    with pytest.raises(ValueError, match="matrices"):
        Muon([torch.nn.Parameter(torch.zeros(3))])

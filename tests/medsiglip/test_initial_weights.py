from __future__ import annotations

import pytest
import torch

from medsiglip.architecture import read_architecture, tensor_shapes
from medsiglip.initial_weights import initial_tensors
from tests.medsiglip.conftest import config


def test_initial_tensors_fit_the_architecture_and_follow_the_seed() -> None:
    architecture = read_architecture(config(50), "config")
    tensors = initial_tensors(architecture, 1)
    assert {name: tuple(t.shape) for name, t in tensors.items()} == tensor_shapes(architecture)
    again, other = initial_tensors(architecture, 1), initial_tensors(architecture, 2)
    assert all(torch.equal(tensors[name], again[name]) for name in tensors)
    name = "vision_model.encoder.layers.0.mlp.fc1.weight"
    assert not torch.equal(tensors[name], other[name])
    assert tensors["logit_scale"].exp().item() == pytest.approx(10)
    assert tensors["logit_bias"].item() == -10

"""Vectors like those of real encoders, as `benchmarks.search.clustered_vectors` makes, but on a device."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
_CLUSTERS, _IMAGES_EACH, _STEP = 200, 10, 100_000


@dataclass(frozen=True, slots=True)
class DeviceVectors:
    """`rows` [n, d], and queries of images and of texts in turn [q, d]: float32, unit length, on the host."""

    rows: Vectors
    queries: Vectors


def device_vectors(device: torch.device, count: int, dimension: int, queries: int) -> DeviceVectors:
    """200 clusters whose sizes follow Zipf's law, studies of ten images, a spectrum of (i + 10)^-1.2, and a
    mean off the origin; texts lie far from images.
    """
    draw = torch.Generator(device).manual_seed(1)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw, device=device)

    spectrum = (torch.arange(dimension, device=device) + 10.0) ** -1.2
    spectrum /= spectrum.norm()
    basis = torch.linalg.qr(normal(dimension, dimension))[0]
    mean, texts = (torch.nn.functional.normalize(normal(1, dimension)) for _ in range(2))
    shares = 1.0 / torch.arange(1, _CLUSTERS + 1, device=device)
    centres = normal(_CLUSTERS, dimension) * spectrum
    cluster = torch.multinomial(shares, -(-count // _IMAGES_EACH), replacement=True, generator=draw)
    studies = centres[cluster] + 0.6 * normal(len(cluster), dimension) * spectrum

    def images(of: torch.Tensor) -> torch.Tensor:
        own = studies[of] + 0.4 * normal(len(of), dimension) * spectrum
        return torch.nn.functional.normalize(own @ basis.T + 0.8 * mean)

    rows = np.empty((count, dimension), np.float32)
    for start in range(0, count, _STEP):
        of = torch.arange(start, min(start + _STEP, count), device=device) // _IMAGES_EACH
        rows[start : start + _STEP] = images(of).cpu().numpy()
    half = queries // 2
    pictures = images(torch.randint(len(studies), (queries - half,), generator=draw, device=device))
    own = 0.8 * normal(half, dimension) * spectrum
    sentences = torch.nn.functional.normalize(own @ basis.T + texts - 0.25 * mean)
    asked = np.empty((queries, dimension), np.float32)
    asked[::2], asked[1::2] = pictures.cpu().numpy(), sentences.cpu().numpy()
    return DeviceVectors(rows, asked)

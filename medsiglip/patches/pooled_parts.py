"""What each patch brings to the vector of its image, taken at the attention pooling.

The pooling head of SigLIP asks the patch tokens with one learned query (multi-head attention pooling, Zhai et
al., Scaling Vision Transformers, arXiv 2106.04560): its attention, of each head the weighted sum of the
tokens' values, is linear in the values, so that it splits exactly into one part for each patch. The MLP of
the head, which follows, does not split.
"""

from __future__ import annotations

import torch
from torch import Tensor

from medsiglip.model import SiglipTowers


def pooled_parts(towers: SiglipTowers, pixels: Tensor) -> Tensor:
    """Parts and tokens of the patches, float32 `[n, 2, patches, d]`, of `pixels` `[n, 3, S, S]` in [-1, 1].

    Of the second axis, 0 holds the parts, whose sum over the patches is the output of the attention pooling
    before its MLP, and 1 the tokens that the pooling reads. Patches are in rows from the top left.
    """
    tokens = towers.visual.forward_features(pixels)
    pool = towers.visual.attn_pool
    n, patches, width = tokens.shape
    heads, size = pool.num_heads, pool.head_dim
    query = pool.q(pool.latent).reshape(1, 1, heads, size).transpose(1, 2).float()
    keys, values = (
        pool.kv(tokens).reshape(n, patches, 2, heads, size).permute(2, 0, 3, 1, 4).float().unbind(0)
    )
    attention = torch.softmax(pool.scale * query @ keys.transpose(-2, -1), dim=-1)
    weighted = attention.transpose(-2, -1) * values
    joined = weighted.transpose(1, 2).reshape(n, patches, width)
    # The bias, which belongs to no patch, is shared out evenly.
    parts = joined @ pool.proj.weight.float().T + pool.proj.bias.float() / patches
    return torch.stack([parts, tokens.float()], dim=1)

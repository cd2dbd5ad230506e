"""SigLIP as open_clip builds it: timm's vision transformer, open_clip's text transformer, and a weight map.

What must agree with Hugging Face's `SiglipModel`, and is not the default of either library: no class token,
attention pooling, tanh GELU where the config says so, the config's layer-norm epsilon, MLP widths that are no
multiple of the width, no causal mask, pooling of the last text position, and a bias in the text projection.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import torch
from open_clip.transformer import TextTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from medsiglip.architecture import Architecture, Tower, tensor_shapes
from medsiglip.checkpoint import Checkpoint, read_weights


class SiglipTowers(nn.Module):
    """Both towers with the learned scale and bias of the SigLIP loss.

    `visual` takes float `[n, 3, S, S]` in [-1, 1], `text` takes token ids `[n, context_length]`; each gives
    `[n, d]`, not normalised. `logit_scale` is kept as its logarithm, as in the file.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        vision, text = architecture.vision, architecture.text
        self.architecture = architecture
        self.visual = VisionTransformer(
            img_size=architecture.image_size,
            patch_size=architecture.patch_size,
            num_classes=0,
            global_pool="map",
            class_token=False,
            embed_dim=vision.width,
            depth=vision.layers,
            num_heads=vision.heads,
            mlp_ratio=_mlp_ratio(vision),
            norm_layer=partial(nn.LayerNorm, eps=vision.layer_norm_eps),
            act_layer=_activation(vision),
            weight_init="skip",  # all weights come from a checkpoint, and drawing them takes longest
        )
        self.text = TextTransformer(
            context_length=architecture.context_length,
            vocab_size=architecture.vocabulary_size,
            width=text.width,
            heads=text.heads,
            layers=text.layers,
            mlp_ratio=_mlp_ratio(text),
            output_dim=architecture.dimension,
            no_causal_mask=True,
            pool_type="last",
            proj_bias=True,
            norm_layer=partial(nn.LayerNorm, eps=text.layer_norm_eps),
            act_layer=_activation(text),
        )
        # The start values of the SigLIP paper (arXiv 2303.15343, section 3.2): temperature 10, bias -10.
        self.logit_scale = nn.Parameter(torch.tensor([10.0]).log())
        self.logit_bias = nn.Parameter(torch.tensor([-10.0]))

    def forward(self, pixels: Tensor, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Image features `[n, d]` and text features `[m, d]`, not normalised."""
        return self.visual(pixels), self.text(token_ids)


def load_model(checkpoint: Checkpoint, *, dtype: torch.dtype = torch.float32) -> SiglipTowers:
    """The checkpoint's model on the CPU, in evaluation mode, without gradients, its weights as `dtype`."""
    with torch.device("meta"):
        model = SiglipTowers(checkpoint.architecture)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    theirs = read_weights(checkpoint)
    state: dict[str, Tensor] = {}
    for their_names, our_names in weight_map(checkpoint.architecture):
        joined = torch.cat([theirs.pop(name).to(dtype).reshape(-1) for name in their_names])
        parts = torch.split(joined, [shapes[name].numel() for name in our_names])
        state |= {name: part.view(shapes[name]) for name, part in zip(our_names, parts, strict=True)}
    model.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(False)


def hugging_face_weights(model: SiglipTowers) -> dict[str, Tensor]:
    """The model's weights under their Hugging Face names and shapes, detached copies on the CPU."""
    state = model.state_dict()
    shapes = tensor_shapes(model.architecture)
    weights: dict[str, Tensor] = {}
    for their_names, our_names in weight_map(model.architecture):
        joined = torch.cat([state[name].detach().cpu().reshape(-1) for name in our_names])
        parts = torch.split(joined, [math.prod(shapes[name]) for name in their_names])
        weights |= {
            name: part.view(shapes[name]).clone() for name, part in zip(their_names, parts, strict=True)
        }
    return weights


def weight_map(architecture: Architecture) -> Iterator[tuple[list[str], list[str]]]:
    """Hugging Face names and ours that hold the same numbers.

    Each side, its tensors flattened and joined in the order given, equals the other.
    """
    yield ["logit_scale"], ["logit_scale"]
    yield ["logit_bias"], ["logit_bias"]
    theirs, ours = "vision_model.", "visual."
    yield from _both(theirs + "embeddings.patch_embedding", ours + "patch_embed.proj")
    yield [theirs + "embeddings.position_embedding.weight"], [ours + "pos_embed"]
    for i in range(architecture.vision.layers):
        yield from _vision_layer(f"{theirs}encoder.layers.{i}.", f"{ours}blocks.{i}.")
    yield from _both(theirs + "post_layernorm", ours + "norm")
    yield from _pooling_head(theirs + "head.", ours + "attn_pool.")
    theirs, ours = "text_model.", "text."
    yield [theirs + "embeddings.token_embedding.weight"], [ours + "token_embedding.weight"]
    yield [theirs + "embeddings.position_embedding.weight"], [ours + "positional_embedding"]
    for i in range(architecture.text.layers):
        yield from _text_layer(f"{theirs}encoder.layers.{i}.", f"{ours}transformer.resblocks.{i}.")
    yield from _both(theirs + "final_layer_norm", ours + "ln_final")
    yield from _both(theirs + "head", ours + "text_projection")


def _vision_layer(theirs: str, ours: str) -> Iterator[tuple[list[str], list[str]]]:
    for kind in ("weight", "bias"):
        yield [f"{theirs}self_attn.{part}_proj.{kind}" for part in "qkv"], [f"{ours}attn.qkv.{kind}"]
    yield from _both(theirs + "self_attn.out_proj", ours + "attn.proj")
    for their_name, our_name in (("layer_norm1", "norm1"), ("layer_norm2", "norm2")):
        yield from _both(theirs + their_name, ours + our_name)
    for name in ("mlp.fc1", "mlp.fc2"):
        yield from _both(theirs + name, ours + name)


def _text_layer(theirs: str, ours: str) -> Iterator[tuple[list[str], list[str]]]:
    for kind in ("weight", "bias"):
        yield [f"{theirs}self_attn.{part}_proj.{kind}" for part in "qkv"], [f"{ours}attn.in_proj_{kind}"]
    yield from _both(theirs + "self_attn.out_proj", ours + "attn.out_proj")
    for their_name, our_name in (
        ("layer_norm1", "ln_1"),
        ("layer_norm2", "ln_2"),
        ("mlp.fc1", "mlp.c_fc"),
        ("mlp.fc2", "mlp.c_proj"),
    ):
        yield from _both(theirs + their_name, ours + our_name)


def _pooling_head(theirs: str, ours: str) -> Iterator[tuple[list[str], list[str]]]:
    yield [theirs + "probe"], [ours + "latent"]
    for kind in ("weight", "bias"):
        yield [f"{theirs}attention.in_proj_{kind}"], [f"{ours}q.{kind}", f"{ours}kv.{kind}"]
    yield from _both(theirs + "attention.out_proj", ours + "proj")
    yield from _both(theirs + "layernorm", ours + "norm")
    yield from _both(theirs + "mlp.fc1", ours + "mlp.fc1")
    yield from _both(theirs + "mlp.fc2", ours + "mlp.fc2")


def _both(theirs: str, ours: str) -> Iterator[tuple[list[str], list[str]]]:
    for kind in ("weight", "bias"):
        yield [f"{theirs}.{kind}"], [f"{ours}.{kind}"]


def _activation(tower: Tower) -> partial[nn.GELU]:
    return partial(nn.GELU, approximate="tanh" if tower.activation == "gelu_pytorch_tanh" else "none")


def _mlp_ratio(tower: Tower) -> float:
    """A ratio that `int(width * ratio)`, as both libraries have it, turns into exactly `mlp_width`."""
    return (tower.mlp_width + 0.5) / tower.width

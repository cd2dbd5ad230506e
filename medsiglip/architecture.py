"""The sizes of a SigLIP model, read from a Hugging Face `config.json`, and the tensors they imply.

A `config.json` may leave out whatever equals its default, so the defaults below are part of the format.
Source: the documented `SiglipVisionConfig` and `SiglipTextConfig` of transformers 4.37 to 5.x.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from medsiglip.errors import ModelError

ACTIVATIONS = ("gelu_pytorch_tanh", "gelu")

_TOWER_DEFAULTS: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}
_VISION_DEFAULTS = {
    **_TOWER_DEFAULTS,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 16,
    "vision_use_head": True,
}
_TEXT_DEFAULTS = {
    **_TOWER_DEFAULTS,
    "vocab_size": 32000,
    "max_position_embeddings": 64,
    "projection_size": None,
}


@dataclass(frozen=True, slots=True)
class Tower:
    """A transformer encoder; `width` counts channels, `activation` is named as Hugging Face does."""

    width: int
    mlp_width: int
    layers: int
    heads: int
    activation: str
    layer_norm_eps: float


@dataclass(frozen=True, slots=True)
class Architecture:
    """Both towers and what surrounds them; `dimension` is the length of an embedding."""

    vision: Tower
    text: Tower
    image_size: int
    patch_size: int
    vocabulary_size: int
    context_length: int
    dimension: int

    @property
    def patches(self) -> int:
        """Tokens per image; pixels that fill no whole patch are dropped, as in SigLIP at 384 pixels and
        patch 14.
        """
        return (self.image_size // self.patch_size) ** 2

    def as_dict(self) -> dict[str, Any]:
        """Plain values that stand for this architecture in a hash."""
        return asdict(self)


def read_architecture(config: Mapping[str, Any], where: str) -> Architecture:
    """Sizes of the model that `config` (a parsed `config.json`) describes; `where` names it in errors.

    Raises `ModelError`: `not-siglip` for another kind of model, `bad-config` for values that make none.
    """
    kind = config.get("model_type")
    if kind != "siglip":
        raise ModelError(
            "not-siglip",
            f"{where} describes a model of type {kind!r}, not 'siglip'; give a SigLIP checkpoint such as "
            "google/medsiglip-448.",
        )
    vision = _Section(config, "vision_config", _VISION_DEFAULTS, where)
    text = _Section(config, "text_config", _TEXT_DEFAULTS, where)
    if vision.values["num_channels"] != 3:
        vision.refuse("num_channels", "3, because images are RGB")
    if vision.values["vision_use_head"] is not True:
        vision.refuse("vision_use_head", "true, because image embeddings come from the pooling head")
    vision_tower = vision.tower()
    projection = text.values["projection_size"]
    architecture = Architecture(
        vision=vision_tower,
        text=text.tower(),
        image_size=vision.side("image_size"),
        patch_size=vision.side("patch_size"),
        vocabulary_size=text.count("vocab_size"),
        context_length=text.count("max_position_embeddings"),
        dimension=vision_tower.width,
    )
    if (architecture.text.width if projection is None else projection) != architecture.dimension:
        text.refuse("projection_size", f"{architecture.dimension}, the width of the vision tower")
    if architecture.patches == 0:
        vision.refuse("patch_size", "at most image_size")
    return architecture


class _Section:
    """One tower's part of the config, with the defaults filled in."""

    def __init__(self, config: Mapping[str, Any], name: str, defaults: dict[str, Any], where: str) -> None:
        given = config.get(name)
        if given is None:
            given = {}
        if not isinstance(given, Mapping):
            raise ModelError("bad-config", f"{where}: {name} must be an object, not {given!r}.")
        self.name = name
        self.where = where
        self.values = {key: given.get(key, default) for key, default in defaults.items()}

    def refuse(self, key: str, wanted: str) -> None:
        raise ModelError(
            "bad-config", f"{self.where}: {self.name}.{key} is {self.values[key]!r} but must be {wanted}."
        )

    def count(self, key: str) -> int:
        value = self.values[key]
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            self.refuse(key, "a positive whole number")
        return int(value)

    def side(self, key: str) -> int:
        value = self.values[key]
        if isinstance(value, list):
            if len(value) != 2 or value[0] != value[1]:
                self.refuse(key, "one number or two equal ones, because the model input is square")
            self.values[key] = value[0]
        return self.count(key)

    def tower(self) -> Tower:
        width, heads = self.count("hidden_size"), self.count("num_attention_heads")
        if width % heads:
            self.refuse("hidden_size", f"a multiple of num_attention_heads ({heads})")
        if self.values["hidden_act"] not in ACTIVATIONS:
            self.refuse("hidden_act", f"one of {', '.join(ACTIVATIONS)}")
        eps = self.values["layer_norm_eps"]
        if not isinstance(eps, float | int) or isinstance(eps, bool) or not 0 < eps < 1:
            self.refuse("layer_norm_eps", "a small positive number")
        return Tower(
            width=width,
            mlp_width=self.count("intermediate_size"),
            layers=self.count("num_hidden_layers"),
            heads=heads,
            activation=self.values["hidden_act"],
            layer_norm_eps=float(eps),
        )


def tensor_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Name and shape of exactly the tensors that a Hugging Face checkpoint of this architecture holds."""
    vision, text = architecture.vision, architecture.text
    patch = architecture.patch_size
    shapes: dict[str, tuple[int, ...]] = {
        "logit_scale": (1,),
        "logit_bias": (1,),
        "vision_model.embeddings.patch_embedding.weight": (vision.width, 3, patch, patch),
        "vision_model.embeddings.patch_embedding.bias": (vision.width,),
        "vision_model.embeddings.position_embedding.weight": (architecture.patches, vision.width),
        "vision_model.head.probe": (1, 1, vision.width),
        "vision_model.head.attention.in_proj_weight": (3 * vision.width, vision.width),
        "vision_model.head.attention.in_proj_bias": (3 * vision.width,),
        "text_model.embeddings.token_embedding.weight": (architecture.vocabulary_size, text.width),
        "text_model.embeddings.position_embedding.weight": (architecture.context_length, text.width),
    }
    shapes.update(_layers("vision_model", vision))
    shapes.update(_layers("text_model", text))
    shapes.update(_norm("vision_model.post_layernorm", vision.width))
    shapes.update(_norm("vision_model.head.layernorm", vision.width))
    shapes.update(_norm("text_model.final_layer_norm", text.width))
    shapes.update(_linear("vision_model.head.attention.out_proj", vision.width, vision.width))
    shapes.update(_linear("vision_model.head.mlp.fc1", vision.width, vision.mlp_width))
    shapes.update(_linear("vision_model.head.mlp.fc2", vision.mlp_width, vision.width))
    shapes.update(_linear("text_model.head", text.width, architecture.dimension))
    return shapes


def _layers(prefix: str, tower: Tower) -> Iterator[tuple[str, tuple[int, ...]]]:
    for i in range(tower.layers):
        layer = f"{prefix}.encoder.layers.{i}"
        yield from _norm(f"{layer}.layer_norm1", tower.width)
        yield from _norm(f"{layer}.layer_norm2", tower.width)
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from _linear(f"{layer}.self_attn.{name}", tower.width, tower.width)
        yield from _linear(f"{layer}.mlp.fc1", tower.width, tower.mlp_width)
        yield from _linear(f"{layer}.mlp.fc2", tower.mlp_width, tower.width)


def _norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _linear(name: str, inputs: int, outputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (outputs, inputs)
    yield f"{name}.bias", (outputs,)

"""Images and texts to unit-length embeddings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from medsiglip.checkpoint import Checkpoint
from medsiglip.encoder_input import check_images, token_ids
from medsiglip.errors import ItemError, ModelError
from medsiglip.model import load_model
from medsiglip.patches.pooled_parts import pooled_parts
from medsiglip.preprocess import DEFAULT_PROFILE, PROFILES
from medsiglip.tokenizer import Tokenizer

Precision = Literal["float32", "bfloat16"]
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Encoder:
    """A checkpoint ready to encode on one device.

    An item's embedding does not depend on what else is in its batch: texts are always padded to the context
    length and no mask is used.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        profile: str = DEFAULT_PROFILE,
        device: str = "auto",
        precision: Precision = "float32",
        batch_size: int | None = None,
    ) -> None:
        """Load the weights onto `device` (`auto` takes a GPU where there is one).

        `profile` names how the images given to `encode_images` were prepared; it belongs to the identity of
        the vectors. Raises `ModelError`: `unknown-profile`, `unknown-device`, `unknown-precision`,
        `bad-batch-size`, `bad-tokenizer`.
        """
        if profile not in PROFILES:
            raise ModelError(
                "unknown-profile", f"There is no profile {profile!r}; choose one of {', '.join(PROFILES)}."
            )
        if precision not in _DTYPES:
            raise ModelError(
                "unknown-precision", f"There is no precision {precision!r}; choose float32 or bfloat16."
            )
        if batch_size is not None and batch_size < 1:
            raise ModelError("bad-batch-size", f"A batch must hold at least one item, not {batch_size}.")
        self.checkpoint = checkpoint
        self.profile = profile
        self.precision = precision
        self.device = resolve_device(device)
        self.dimension = checkpoint.dimension
        self.image_size = checkpoint.image_size
        self.batch_size = batch_size or (128 if self.device.type == "cuda" else 16)
        self.tokenizer = Tokenizer(checkpoint.spiece_path, checkpoint.context_length)
        if self.tokenizer.vocabulary_size > checkpoint.architecture.vocabulary_size:
            raise ModelError(
                "bad-tokenizer",
                f"{checkpoint.spiece_path} has {self.tokenizer.vocabulary_size} pieces but the model knows "
                f"{checkpoint.architecture.vocabulary_size}; both must come from the same checkpoint.",
            )
        self._dtype = _DTYPES[precision]
        model = load_model(checkpoint, dtype=self._dtype)
        self.logit_scale = math.exp(model.logit_scale.float().item())
        self.logit_bias = model.logit_bias.float().item()
        self._model = model.to(self.device)

    def encode_images(
        self, images: npt.NDArray[np.uint8] | Sequence[npt.NDArray[np.uint8]]
    ) -> npt.NDArray[np.float32]:
        """Embeddings `[n, d]`, float32 of unit length, of model inputs, uint8 `[n, S, S, 3]`.

        Raises `ModelError`: `bad-image` for another shape or dtype, `not-finite` where no number comes out,
        `out-of-memory` where not even one image fits.
        """
        check_images(images, self.image_size)
        return self._encode(lambda low, high: self._image_features(images[low:high]), len(images), "image")

    def encode_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embeddings `[n, d]`, float32 of unit length. Of a text beyond the context only the beginning is
        read, which `Tokenizer.lengths` and `medsiglip.text_length` tell.

        Raises `ModelError`: `empty-text` for a text without a word, `bad-text` for what is no text,
        `not-finite`, `out-of-memory`.
        """
        return self.encode_tokens(token_ids(self.tokenizer, texts))

    def encode_tokens(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Embeddings `[n, d]`, float32 of unit length, of texts as token ids `[n, context_length]`.

        Raises `ModelError`: `not-finite`, `out-of-memory`.
        """
        tokens = torch.from_numpy(ids)
        return self._encode(
            lambda low, high: self._model.text(tokens[low:high].to(self.device)), len(ids), "text"
        )

    def encode_patches(
        self, images: npt.NDArray[np.uint8] | Sequence[npt.NDArray[np.uint8]]
    ) -> npt.NDArray[np.float32]:
        """Parts and tokens of patches, float32 `[n, 2, patches, d]`, of model inputs, uint8 `[n, S, S, 3]`:
        see `medsiglip.patches.pooled_parts`.

        Raises `ModelError` as `encode_images` does.
        """
        check_images(images, self.image_size)
        shape = (2, self.checkpoint.architecture.patches, self.dimension)
        found = np.empty((len(images), *shape), np.float32)
        for i in range(len(images)):  # one by one: of a large model they are millions of numbers for each
            found[i] = self._patches(images[i : i + 1])[0]
            if not np.isfinite(found[i]).all():
                raise self._not_finite("image", i)
        return found

    def _patches(
        self, images: npt.NDArray[np.uint8] | Sequence[npt.NDArray[np.uint8]]
    ) -> npt.NDArray[np.float32]:
        try:
            with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                found: npt.NDArray[np.float32] = pooled_parts(self._model, self._pixels(images)).cpu().numpy()
        except torch.OutOfMemoryError:
            raise self._does_not_fit("image") from None
        return found

    def _image_features(self, images: npt.NDArray[np.uint8] | Sequence[npt.NDArray[np.uint8]]) -> Tensor:
        features: Tensor = self._model.visual(self._pixels(images))
        return features

    def _pixels(self, images: npt.NDArray[np.uint8] | Sequence[npt.NDArray[np.uint8]]) -> Tensor:
        pixels = torch.from_numpy(np.stack(list(images))).to(self.device)
        # x / 255 with mean 0.5 and standard deviation 0.5, the normalisation of every profile.
        return pixels.permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1.0).to(self._dtype)

    def _encode(self, features: Callable[[int, int], Tensor], n: int, noun: str) -> npt.NDArray[np.float32]:
        vectors = np.empty((n, self.dimension), np.float32)
        done = 0
        while done < n:
            end = min(done + self.batch_size, n)
            try:
                # cuDNN would round the patch embedding's float32 products to TF32 (10 bits) by default.
                with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                    unit = torch.nn.functional.normalize(features(done, end).float(), dim=-1)
                    vectors[done:end] = unit.cpu().numpy()
            except torch.OutOfMemoryError:
                fits = False
            else:
                fits = True
            # Outside the handler, because its traceback keeps the failed batch in memory.
            if not fits:
                self._halve_batch(end - done, noun)
                continue
            bad = np.flatnonzero(~np.isfinite(vectors[done:end]).all(axis=1))
            if bad.size:
                raise self._not_finite(noun, done + int(bad[0]))
            done = end
        return vectors

    def _not_finite(self, noun: str, item: int) -> ItemError:
        return ItemError(
            "not-finite",
            f"The model gives no finite embedding for {noun} {{item}}; the weights of "
            f"{self.checkpoint.name} may be damaged: fetch them again, or take precision float32.",
            item,
        )

    def _does_not_fit(self, noun: str) -> ModelError:
        return ModelError(
            "out-of-memory",
            f"Not even one {noun} fits into the memory of {self.device}; free some or use device cpu.",
        )

    def _halve_batch(self, size: int, noun: str) -> None:
        if size == 1:
            raise self._does_not_fit(noun)
        self.batch_size = size // 2
        torch.cuda.empty_cache()


def resolve_device(name: str) -> torch.device:
    """The device that `auto`, `cpu` or `cuda` stands for here. Raises `ModelError` `unknown-device`."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(
            "unknown-device", f"There is no device {name!r}; choose auto, cpu or cuda."
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError("unknown-device", f"PyTorch finds no GPU for device {name!r}; choose cpu or auto.")
    return device

"""`why`: where in an image a text fits, or which places of two images are alike."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.answers.why import MatchedPlaces, Place, WhyAnswer
from medsiglip.api.archive.explaining.asked_pictures import Asked, Shown, asked_picture
from medsiglip.api.archive.explaining.localisation import localisation
from medsiglip.api.archive.files import output_file, write_bytes
from medsiglip.api.archive.opened import in_one_space
from medsiglip.api.archive.queries import require_words
from medsiglip.api.errors import ServiceError
from medsiglip.text_length import prompt_warnings

if TYPE_CHECKING:
    from medsiglip.answers.why import Localisation
    from medsiglip.api.archive.files import AnyPath
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.patches.picture_place import PicturePlace
    from medsiglip.zero_shot.prompt_set import LabelPrompts

# Lines beyond these hide the pictures; the answer holds more.
_LINES = 12
_MATCHES = 100
# Grey levels within a patch below which it is background, which is like any other background.
_FLAT = 8
_NO_MATCH = (
    "no patch of one image and one of the other are each other's nearest: nothing says why they are alike."
)


@in_one_space
def why(
    archive: OpenedArchive,
    *,
    image: AnyPath | None = None,
    study: str | None = None,
    image_id: int | None = None,
    text: str | None = None,
    like: AnyPath | None = None,
    like_study: str | None = None,
    like_image_id: int | None = None,
    show_burned_in: bool = False,
    out: AnyPath | None = None,
) -> WhyAnswer:
    """Where `text` fits in an image, or which places of it and of another are alike.

    The image is that of a picture file, of a stored study or a stored image, and so is the one that it is
    like. Of several images the one that fits best is shown. With `out` the PNG is written to that file, else
    it is in the answer. Raises ServiceError `one-of`, `empty-text`, `burned-in` for a stored image that may
    bear a name unless `show_burned_in`, and what reading pictures raises.
    """
    first, second = Asked(image, study, image_id), Asked(like, like_study, like_image_id)
    if first.count != 1:
        raise ServiceError("one-of", "ask about one of: a picture file, a study, a stored image.")
    if second.count + (text is not None) != 1:
        raise ServiceError("one-of", "give one of: a text, or what the image is compared with.")
    file = None if out is None else output_file(out)
    if text is not None:
        require_words(text)
        fields, png = _of_text(archive, first, text, burned_in=show_burned_in)
    else:
        fields, png = _of_pair(archive, first, second, burned_in=show_burned_in)
    if file is None:
        fields["png"] = b64encode(png).decode("ascii")
    else:
        write_bytes(file, png)
        fields["path"] = str(file)
    return WhyAnswer(space=archive.space.name, **fields)


def _of_text(
    archive: OpenedArchive, asked: Asked, text: str, *, burned_in: bool
) -> tuple[dict[str, Any], bytes]:
    from medsiglip.patches.overlay import map_overlay
    from medsiglip.patches.text_map import text_direction, text_maps
    from medsiglip.zero_shot.free_labels import free_labels

    prompt_set = free_labels([text])
    [prompts] = prompt_set.prompts.values()
    encoder = archive.encoder
    present = encoder.encode_texts(list(prompts.present))
    direction = text_direction(present, encoder.encode_texts(list(prompts.absent)))
    shown = asked_picture(archive, asked, lambda vectors: vectors @ direction, burned_in=burned_in)
    whole = text_maps(encoder, shown.model_input[None], direction)[0]
    place = _place(archive, shown)
    values = place.cut(whole)
    grid = _patch_means(values, _patches_on(place, encoder.checkpoint.architecture.patches))
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    measured = localisation(archive)
    return {
        **_about(shown, ""),
        **_texts(text, prompts),
        "cosine": _cosine(shown.vector, present.mean(axis=0)),
        "contrast": float(shown.vector @ direction),
        "patches": grid.shape,
        "map": tuple(tuple(round(float(one), 4) for one in line) for line in grid),
        "brightest": Place(
            x=round((int(column) + 0.5) / values.shape[1], 4), y=round((int(row) + 0.5) / values.shape[0], 4)
        ),
        "localisation": measured,
        "warnings": (*prompt_warnings(encoder.tokenizer, prompt_set), *_worth(measured)),
    }, map_overlay(shown.pixels, values)


def _of_pair(
    archive: OpenedArchive, first: Asked, second: Asked, *, burned_in: bool
) -> tuple[dict[str, Any], bytes]:
    from medsiglip.patches.correspondences import mutual_nearest
    from medsiglip.patches.overlay import pair_overlay

    # Of several images the one nearest to the other picture; where both are several, to the other's first.
    other = asked_picture(
        archive, second, lambda vectors: -np.arange(len(vectors), dtype=np.float64), burned_in=burned_in
    )
    one = asked_picture(archive, first, lambda vectors: vectors @ other.vector, burned_in=burned_in)
    if second.image_id is None:
        other = asked_picture(archive, second, lambda vectors: vectors @ one.vector, burned_in=burned_in)
    encoder = archive.encoder
    tokens = encoder.encode_patches(np.stack([one.model_input, other.model_input]))[:, 1]
    side = round(tokens.shape[1] ** 0.5)
    places = (_place(archive, one), _place(archive, other))
    usable = [
        place.patches_inside(side) & _is_drawn(shown.model_input, side)
        for place, shown in zip(places, (one, other), strict=True)
    ]
    pairs = mutual_nearest(tokens[0], tokens[1], usable=(usable[0], usable[1]))[:_MATCHES]
    lines = [(_middle(pair.first, side, places[0]), _middle(pair.second, side, places[1])) for pair in pairs]
    matches = tuple(
        MatchedPlaces(
            image=Place(x=start[1], y=start[0]), like=Place(x=end[1], y=end[0]), cosine=round(pair.cosine, 4)
        )
        for pair, (start, end) in zip(pairs, lines, strict=True)
    )
    return {
        **_about(one, ""),
        **_about(other, "like"),
        "cosine": _cosine(one.vector, other.vector),
        "patches": (side, side),
        "matches": matches,
        "warnings": () if pairs else (_NO_MATCH,),
    }, pair_overlay(one.pixels, other.pixels, lines[:_LINES])


def _about(shown: Shown, which: str) -> dict[str, Any]:
    """The fields that name an image: the one that is asked about, or the one that it is `like`."""
    named: dict[str, Any] = {which or "image": shown.named}
    if shown.study is not None:
        named["like_study_instance_uid" if which else "study_instance_uid"] = shown.study
    return named


def _texts(text: str, prompts: LabelPrompts) -> dict[str, Any]:
    return {"text": text, "present": prompts.present, "absent": prompts.absent}


def _worth(measured: Localisation | None) -> tuple[str, ...]:
    """What the map is worth, as far as it was measured."""
    if measured is None:
        return (
            "nobody has measured where this model's maps point: `medsiglip why --measure` does, on phantoms.",
        )
    if measured.localises:
        return ()
    return (
        f"the maps of this model do not localise reliably: in {measured.share:.2f} of {measured.phantoms} "
        "phantoms the lesion lies in the brightest tenth, where .80 are wanted and chance gives .10.",
    )


def _place(archive: OpenedArchive, shown: Shown) -> PicturePlace:
    from medsiglip.patches.picture_place import picture_place

    height, width = shown.pixels.shape[:2]
    return picture_place(height, width, archive.space.profile)


def _patches_on(place: PicturePlace, patches: int) -> tuple[int, int]:
    """How many rows and columns of patches the picture covers, at least one of each."""
    side = round(patches**0.5)
    return max(round(place.height * side), 1), max(round(place.width * side), 1)


def _patch_means(values: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Means of a map [h, w] over `shape` cells, of which the highest absolute value becomes 1 or -1."""
    rows = [part.mean(axis=0) for part in np.array_split(values, shape[0])]
    cells = np.stack([[part.mean() for part in np.array_split(row, shape[1])] for row in rows])
    highest = float(np.abs(cells).max())
    return cells / highest if highest > 0 else cells


def _is_drawn(model_input: NDArray[np.uint8], side: int) -> NDArray[np.bool_]:
    """Which patches, flattened by rows, hold more than plain background."""
    patch = len(model_input) // side
    used = model_input[: side * patch, : side * patch].max(axis=2)
    cells = used.reshape(side, patch, side, patch).transpose(0, 2, 1, 3).reshape(side * side, -1)
    return np.asarray(cells.max(axis=1).astype(int) - cells.min(axis=1) >= _FLAT)


def _middle(patch: tuple[int, int], side: int, place: PicturePlace) -> tuple[float, float]:
    y, x = place.to_picture((patch[0] + 0.5) / side, (patch[1] + 0.5) / side)
    return round(y, 4), round(x, 4)


def _cosine(one: NDArray[np.float32], other: NDArray[np.floating[Any]]) -> float:
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), np.finfo(np.float64).tiny))

"""Answers to `why`: where a text fits in an image, and which places of two images are alike."""

from __future__ import annotations

from base64 import b64decode

from pydantic import ConfigDict

from medsiglip.answers.answer import Answer, AskedImage, ShownText


class Place(Answer):
    """A place of a picture, as fractions of its width and height from the top left."""

    x: float
    y: float


class MatchedPlaces(Answer):
    """The middles of two patches, of the image and of the one it is compared with, that are each other's
    nearest, and the cosine of their tokens, from which the mean of each image is taken.
    """

    image: Place
    like: Place
    cosine: float


class FindingLocalised(Answer):
    """Of `phantoms` with a finding, the share whose lesion lies in the brightest tenth of the map."""

    finding: str
    phantoms: int
    share: float


class Localisation(Answer):
    """How often the map of this model finds the lesion of a phantom: the `share` of `phantoms` in which the
    middle of the lesion lies in the brightest tenth of the map, with its 95 % interval; `other_text` is the
    same for the text of another finding. By chance it were a tenth. `localises` says whether the share is at
    least .80. Figures of phantoms promise nothing about real images.
    """

    phantoms: int
    share: float
    interval: tuple[float, float]
    other_text: float
    localises: bool
    findings: tuple[FindingLocalised, ...] = ()


class WhyAnswer(Answer):
    """Where in an image a text fits, or which places of two images are alike, and a picture of it.

    For a text: `present` and `absent` are the texts that were compared, `cosine` that of the whole image with
    the present ones and `contrast` how much higher it is than with the absent ones. `map` holds a value for
    each patch of `patches` (rows, columns) of the picture: above zero what turns the image's vector towards
    the text, below what turns it away, scaled so that the furthest from zero is 1 or -1. `brightest` is the
    place of the highest value. `localisation` is what was measured of this model, null if nothing was.

    For two images: `cosine` is that of the whole images, `matches` the places that are each other's nearest,
    closest first.

    `png` is the picture in base64, unless it was written to the file `path`.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "space": "0f3a5c7e9b1d-medsiglip-eval-1152",
                "image": {"image_id": 17, "sop_instance_uid": "1.2.840.1.2", "frame": 0},
                "text": "pleural effusion",
                "present": ["pleural effusion"],
                "absent": ["no pleural effusion", "no evidence of pleural effusion"],
                "cosine": 0.21,
                "contrast": 0.09,
                "patches": [2, 2],
                "map": [[-0.4, -0.2], [1.0, -0.4]],
                "brightest": {"x": 0.25, "y": 0.75},
                "localisation": None,
                "png": "iVBORw0KGgo=",
                "warnings": [],
            }
        },
    )

    space: str
    image: AskedImage
    study_instance_uid: str | None = None
    text: str | None = None
    present: tuple[str, ...] | None = None
    absent: tuple[str, ...] | None = None
    like: AskedImage | None = None
    like_study_instance_uid: str | None = None
    cosine: float
    contrast: float | None = None
    patches: tuple[int, int]
    map: tuple[tuple[float, ...], ...] | None = None
    brightest: Place | None = None
    matches: tuple[MatchedPlaces, ...] | None = None
    localisation: Localisation | None = None
    png: str | None = None
    path: ShownText | None = None
    warnings: tuple[str, ...] = ()

    @property
    def picture(self) -> bytes:
        """The PNG. Raises ValueError where it was written to a file."""
        if self.png is None:
            raise ValueError(f"the picture is in the file {self.path}")
        return b64decode(self.png)

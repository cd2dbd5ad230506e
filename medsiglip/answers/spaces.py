"""Answers about the spaces of an archive: what embedding it anew did, and what was dropped."""

from __future__ import annotations

from pydantic import Field

from medsiglip.answers.answer import Answer, Refusal


class SpaceCount(Answer):
    """One of the spaces of an archive, with the number of its images; one is `active`."""

    name: str
    model: str
    images: int
    active: bool


class ReembeddingReport(Answer):
    """What a run of `index reembed` did.

    `space` is the one that the archive works in now, `former` the one it worked in, `model` the one that
    images were embedded with. `images` counts those of the archive, `embedded` those embedded by this run.
    `finished` says that none is left but those that are missing; where the model is another, the archive is
    then `switched` to it.
    """

    space: str
    former: str
    model: str
    switched: bool
    finished: bool
    images: int
    embedded: int
    missing: int = Field(description="images whose file is gone, has changed or cannot be read any more")
    missing_files: tuple[Refusal, ...] = Field(description="their files, at most 1,000 of them")
    warnings: tuple[str, ...]
    seconds: float


class DroppedSpace(Answer):
    """The space that was deleted, and how many images it had."""

    space: str
    images: int


class SpaceList(Answer):
    """All spaces of an archive, the active one first."""

    spaces: tuple[SpaceCount, ...]

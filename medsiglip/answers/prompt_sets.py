"""Answers about the bundled prompt sets."""

from __future__ import annotations

from medsiglip.answers.answer import Answer


class PromptSetSummary(Answer):
    """What a prompt set is: its `labels`, each scored on its own unless they are `exclusive`, where its texts
    come from, and which pictures it is for: the `modalities` (DICOM) and `regions` of all its labels, empty
    for any, and the ages of its patients in words. `where` are the filters of the whole set. `fingerprint`
    changes with kind, labels and texts.
    """

    name: str
    kind: str
    exclusive: bool
    source: str
    labels: tuple[str, ...]
    where: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    population: str
    fingerprint: str


class PromptSetList(Answer):
    """The bundled prompt sets, in alphabetical order."""

    prompt_sets: tuple[PromptSetSummary, ...]

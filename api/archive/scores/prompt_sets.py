"""The bundled prompt sets, described."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medsiglip.answers.prompt_sets import PromptSetList, PromptSetSummary

if TYPE_CHECKING:
    from medsiglip.zero_shot.prompt_set import PromptSet


def list_prompt_sets() -> PromptSetList:
    """What each bundled set is for; needs no archive and no model."""
    from medsiglip.zero_shot import prompt_file

    sets = (prompt_file.load_prompt_set(name) for name in prompt_file.list_prompt_sets())
    return PromptSetList(prompt_sets=tuple(_summary(one) for one in sets))


def _summary(prompt_set: PromptSet) -> PromptSetSummary:
    return PromptSetSummary(
        name=prompt_set.name,
        kind=prompt_set.kind,
        exclusive=prompt_set.exclusive,
        source=prompt_set.source,
        labels=prompt_set.labels,
        where=prompt_set.where,
        modalities=_modalities(prompt_set),
        regions=tuple(sorted(frozenset().union(*(one.regions for one in prompt_set.prompts.values())))),
        population=str(prompt_set.population),
        fingerprint=prompt_set.fingerprint,
    )


def _modalities(prompt_set: PromptSet) -> tuple[str, ...]:
    """The modalities that the filters of the set and its labels name."""
    from medsiglip.index.catalogue.filter_expression import read_terms

    wanted = (expression for one in prompt_set.prompts.values() for expression in one.where)
    terms = [term for expression in dict.fromkeys(wanted) for term in read_terms(expression)]
    parts = [term.expression for term in terms if not term.negated]
    named = [one for one in parts if one.kind == "field" and one.name == "modality" and one.operator == "="]
    return tuple(sorted({value for one in named for value in one.alternatives()}))

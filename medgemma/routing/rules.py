"""Routing rules: which studies go to a generator, and how often; read from TOML and JSON and written as TOML.

A rule is a table of TOML or a JSON object; a file of rules has one table for each, named by the rule::

    [chest-effusion]
    studies = "new"               # new: those that gain images from now on; all: the whole archive
    enabled = true
    priority = 5                  # of its jobs; higher goes first
    modality = ["CR", "DX"]
    body_part = ["CHEST"]
    where = ["patient_age>=18"]   # as `--where`
    labels = ["pleural-effusion=1"]
    quality = ["near_blank=0"]
    scores = [{ source = "prompts:chest-xray", label = "pleural-effusion", at_least = 0.8 }]
    generator = "evidence-only"   # a name of the generators that are configured
    template = "chest-xray"       # a prompt template; left out: the one that fits
    context = true                # whether texts of similar cases are shown to the generator
    max_images = 4
    neighbours = 5                # similar cases kept in the evidence
    findings = ["prompts:chest-xray"]   # what scores the draft's findings; left out: all that fit
    per_hour = 20                 # studies sent in any hour, in any 24 hours, and ever
    per_day = 200
    total = 1000

Every field is optional. A study fits when one of its images passes all filters on images, and the study's
scores, pooled over its images, pass theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from medsiglip.index.catalogue.filters import parse_all
from medsiglip.index.errors import CatalogError, excerpt
from medsiglip.index.service.routing_rules import Budget
from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.generators.evidence_only import EVIDENCE_ONLY
from medsiglip.medgemma.prompting.template import templates
from medsiglip.names import is_name
from medsiglip.regions.vocabulary import spellings_alike
from medsiglip.toml_file import TomlError, parse_toml

MAX_ENTRIES = 1000
"""Entries of a list in a rule; `medsiglip.index.catalogue.filters` takes fewer of those that are filters."""
MAX_SCORES = 100
"""Conditions on scores in a rule: each is computed over all studies that are examined."""
MAX_TEXT = 4096
"""Characters of a text in a rule that is not a filter: as many as a label may have."""

_SOURCES = ("prompts", "probe")


@dataclass(frozen=True, slots=True)
class ScoreCondition:
    """Bounds of the score that a source of scores gives a label."""

    source: str
    label: str
    at_least: float | None = None
    at_most: float | None = None

    def holds(self, probability: float | None) -> bool:
        """Whether a score passes; None, of a study that the source does not fit, never does."""
        if probability is None:
            return False
        above = self.at_least is None or probability >= self.at_least
        return above and (self.at_most is None or probability <= self.at_most)

    def __str__(self) -> str:
        text = f"{self.source} {self.label}"
        if self.at_least is not None:
            text += f" >= {self.at_least:g}"
        return text if self.at_most is None else f"{text} <= {self.at_most:g}"


@dataclass(frozen=True, slots=True)
class DraftOptions:
    """How a draft is made: the fields of a rule from `template` to `findings`."""

    template: str | None = None
    context: bool = True
    max_images: int | None = None
    neighbours: int = 5
    findings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The options as fields of a rule, without those that are None."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        values["findings"] = list(self.findings)
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Rule:
    """A checked routing rule; the docstring of the module describes the fields."""

    studies: Literal["new", "all"] = "new"
    enabled: bool = True
    priority: int = 0
    modality: tuple[str, ...] = ()
    body_part: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    quality: tuple[str, ...] = ()
    scores: tuple[ScoreCondition, ...] = ()
    generator: str = EVIDENCE_ONLY
    options: DraftOptions = field(default_factory=DraftOptions)
    budget: Budget = field(default_factory=Budget)

    @property
    def filters(self) -> tuple[str, ...]:
        """The conditions on images, as filter expressions."""
        among = (("modality", self.modality), ("body_part_examined", self.body_part))
        named = [f"{name}={'|'.join(values)}" for name, values in among if values]
        named += self.where
        named += [f"label:{one}" for one in self.labels]
        named += [f"quality.{one}" for one in self.quality]
        return tuple(named)

    @property
    def image_filters(self) -> tuple[str, ...]:
        """`filters` as images are asked: a body part with every spelling of the same region."""
        written = f"body_part_examined={'|'.join(self.body_part)}"
        alike = dict.fromkeys(one for part in self.body_part for one in spellings_alike(part))
        asked = f"body_part_examined={'|'.join(alike)}"
        return tuple(asked if self.body_part and one == written else one for one in self.filters)

    def to_json(self) -> dict[str, Any]:
        """The rule as JSON, without fields that have their default values."""
        default = Rule()
        written: dict[str, Any] = {}
        for name in ("studies", "enabled", "priority", "generator"):
            if getattr(self, name) != getattr(default, name):
                written[name] = getattr(self, name)
        for name in ("modality", "body_part", "where", "labels", "quality"):
            if getattr(self, name):
                written[name] = list(getattr(self, name))
        if self.scores:
            written["scores"] = [
                {one.name: value for one in fields(score) if (value := getattr(score, one.name)) is not None}
                for score in self.scores
            ]
        ordinary = default.options.to_json()
        written |= {name: v for name, v in self.options.to_json().items() if v != ordinary.get(name)}
        limits = {one.name: getattr(self.budget, one.name) for one in fields(self.budget)}
        return written | {name: value for name, value in limits.items() if value is not None}


def _checked_name(name: str) -> str:
    """Return the name of a rule if it can be one. Raises DraftError `bad-route-name`."""
    if not is_name(name):
        raise DraftError(
            "bad-route-name",
            f"{excerpt(name)} cannot name a route: use letters, digits, dots, hyphens and underscores, "
            "at most 64.",
        )
    return name


def read_rule(name: str, table: Mapping[str, Any]) -> Rule:
    """Check one rule. Raises DraftError `bad-route`, which names the rule and the field."""
    return _Reader(_checked_name(name)).rule(table)


def read_rules(content: bytes, file: str) -> dict[str, Rule]:
    """Return the rules of a TOML file by name. Raises DraftError `bad-route` or `bad-route-name`."""
    try:
        document = parse_toml(content)
    except TomlError as error:
        raise DraftError("bad-route", f"{file}: not valid TOML ({error}); correct that line.") from None
    rules = {}
    for name, table in document.items():
        if not isinstance(table, dict):
            raise DraftError(
                "bad-route",
                f"{file}: {excerpt(name)} stands outside a route; begin with a line such as [chest].",
            )
        rules[name] = read_rule(name, table)
    if not rules:
        raise DraftError("bad-route", f"{file}: holds no route; begin with a line such as [chest].")
    return rules


_LISTS = ("modality", "body_part", "where", "labels", "quality", "findings")
_NUMBERS = {"max_images": 1, "neighbours": 0, "per_hour": 0, "per_day": 0, "total": 0}
_OTHERS = ("studies", "enabled", "priority", "scores", "generator", "template", "context")


@dataclass(frozen=True, slots=True)
class _Reader:
    name: str

    def rule(self, table: Mapping[str, Any]) -> Rule:
        known = (*_LISTS, *_NUMBERS, *_OTHERS)
        for key in table:
            if key not in known:
                raise self._bad(f"there is no field {excerpt(key)}; use {', '.join(known)}")
        lists = {key: self._texts(table, key) for key in _LISTS}
        findings = lists.pop("findings")
        for source in findings:
            self._source(source)
        numbers = {key: self._number(table, key, least) for key, least in _NUMBERS.items()}
        studies = table.get("studies", "new")
        if studies not in ("new", "all"):
            raise self._bad('\'studies\' must be "new" or "all"')
        rule = Rule(
            studies=studies,
            enabled=self._truth(table, "enabled"),
            priority=self._number(table, "priority", -1000) or 0,
            **lists,
            scores=self._scores(table.get("scores", [])),
            generator=self._text(table, "generator") or EVIDENCE_ONLY,
            options=DraftOptions(
                template=self._template(table),
                context=self._truth(table, "context"),
                max_images=numbers["max_images"],
                neighbours=5 if numbers["neighbours"] is None else numbers["neighbours"],
                findings=findings,
            ),
            budget=Budget(numbers["per_hour"], numbers["per_day"], numbers["total"]),
        )
        try:
            parse_all(rule.filters)
        except CatalogError as error:
            raise self._bad(str(error).rstrip(".")) from error
        return rule

    def _scores(self, given: Any) -> tuple[ScoreCondition, ...]:
        if not isinstance(given, list) or not all(isinstance(one, Mapping) for one in given):
            raise self._bad("'scores' must be a list of tables with source, label, at_least or at_most")
        if len(given) > MAX_SCORES:
            raise self._bad(f"'scores' has {len(given)} entries and may have {MAX_SCORES}")
        return tuple(self._score(one) for one in given)

    def _score(self, table: Mapping[str, Any]) -> ScoreCondition:
        known = ("source", "label", "at_least", "at_most")
        for key in table:
            if key not in known:
                raise self._bad(f"'scores' has no field {excerpt(key)}; use {', '.join(known)}")
        source, label = self._text(table, "source"), self._text(table, "label")
        if source is None or label is None:
            raise self._bad("every entry of 'scores' needs a source and a label")
        self._source(source)
        low, high = self._probability(table, "at_least"), self._probability(table, "at_most")
        if low is None and high is None:
            raise self._bad("every entry of 'scores' needs at_least or at_most")
        if low is not None and high is not None and low > high:
            raise self._bad(f"'at_least' {low:g} is above 'at_most' {high:g}, and no score is both")
        return ScoreCondition(source, label, low, high)

    def _source(self, source: str) -> None:
        kind, colon, name = source.partition(":")
        if kind not in _SOURCES or not colon or not is_name(name):
            raise self._bad(
                f"{excerpt(source)} scores nothing; write prompts:NAME of a prompt set or probe:NAME"
            )

    def _template(self, table: Mapping[str, Any]) -> str | None:
        name = self._text(table, "template")
        if name is not None and name not in templates():
            known = ", ".join(templates())
            raise self._bad(f"there is no prompt template {excerpt(name)}; choose one of {known}")
        return name

    def _texts(self, table: Mapping[str, Any], key: str) -> tuple[str, ...]:
        given = table.get(key, [])
        if not isinstance(given, list) or not all(map(_is_text, given)):
            raise self._bad(f"{key!r} must be a list of texts")
        if len(given) > MAX_ENTRIES:
            raise self._bad(f"{key!r} has {len(given)} entries and may have {MAX_ENTRIES}")
        return tuple(given)

    def _text(self, table: Mapping[str, Any], key: str) -> str | None:
        given = table.get(key)
        if given is not None and not _is_text(given):
            raise self._bad(f"{key!r} must be a text")
        if given is not None and len(given) > MAX_TEXT:
            raise self._bad(f"{key!r} has {len(given)} characters and may have {MAX_TEXT}")
        return given

    def _truth(self, table: Mapping[str, Any], key: str) -> bool:
        given = table.get(key, True)
        if not isinstance(given, bool):
            raise self._bad(f"{key!r} must be true or false")
        return given

    def _number(self, table: Mapping[str, Any], key: str, least: int) -> int | None:
        given = table.get(key)
        if given is not None and (
            isinstance(given, bool) or not isinstance(given, int) or not least <= given <= 10**6
        ):
            raise self._bad(f"{key!r} must be a whole number from {least} to 1000000")
        return given

    def _probability(self, table: Mapping[str, Any], key: str) -> float | None:
        given = table.get(key)
        if given is None:
            return None
        if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 1:
            raise self._bad(f"{key!r} must be a score from 0 to 1")
        return float(given)

    def _bad(self, reason: str) -> DraftError:
        return DraftError("bad-route", f"The route {self.name} cannot be used: {reason}.")


def _is_text(value: object) -> bool:
    """Whether it is a text, not blank, that a database can hold: without NUL and lone surrogates."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def rules_as_toml(rules: Sequence[tuple[str, Rule]]) -> str:
    """Rules as the content of a TOML file that `read_rules` reads back."""
    tables = []
    for name, rule in rules:
        lines = [f"[{_quoted(name)}]"]
        lines += [f"{key} = {_toml(value)}" for key, value in rule.to_json().items()]
        tables.append("\n".join(lines) + "\n")
    return "\n".join(tables)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(member)}" for key, member in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(member) for member in value) + "]"
    return repr(value)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'

"""Rules read from TOML files and JSON objects, field by field, and written as TOML again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medsiglip.index.catalogue.filters import parse_all
from medsiglip.index.errors import CatalogError, excerpt
from medsiglip.index.service.routing_rules import Budget
from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.prompting.prompts import templates
from medsiglip.medgemma.routing.rules import EVIDENCE_ONLY, DraftOptions, Rule, ScoreCondition
from medsiglip.toml_file import TomlError, parse_toml

MAX_ENTRIES = 1000
"""Of a list in a rule; of those that become filters, `medsiglip.index.catalogue.filters` takes fewer."""
MAX_SCORES = 100
"""Conditions on scores in a rule: each is worked out over all studies that are looked at."""
MAX_TEXT = 4096
"""Characters of a text in a rule that is no filter: as many as a label may have."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.IGNORECASE)
_SOURCE = re.compile(r"(?:prompts|probe):[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_route_name(name: str) -> str:
    """The name. Raises DraftError `bad-route-name`."""
    if not _NAME.fullmatch(name):
        raise DraftError(
            "bad-route-name",
            f"{excerpt(name)} cannot name a route: use letters, digits, dots, hyphens and underscores, "
            "at most 64.",
        )
    return name


def read_rule(name: str, table: Mapping[str, Any]) -> Rule:
    """Check one rule. Raises DraftError `bad-route`, which names the route and the field."""
    return _Reader(check_route_name(name)).rule(table)


def read_routes(content: bytes, file: str) -> dict[str, Rule]:
    """The rules of a TOML file by name. Raises DraftError `bad-route` or `bad-route-name`."""
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
        return ScoreCondition(source, label, low, high)

    def _source(self, source: str) -> None:
        if not _SOURCE.fullmatch(source):
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
            raise self._bad(f"{key!r} must be a probability from 0 to 1")
        return float(given)

    def _bad(self, why: str) -> DraftError:
        return DraftError("bad-route", f"The route {self.name} cannot be used: {why}.")


def _is_text(value: object) -> bool:
    """Whether it is a text that says something and that a database holds: without NUL and lone surrogates."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def routes_as_toml(routes: Sequence[tuple[str, Rule]]) -> str:
    """Routes as a file that `read_routes` reads back."""
    tables = []
    for name, rule in routes:
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

"""Routes at work: which studies fit a rule and why, and what is sent, held back, or would be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.service.routing_rules import Decision, RoutedJob, RouteRecord
from medsiglip.medgemma.findings import FindingScores
from medsiglip.medgemma.routing.rule_reading import read_rule
from medsiglip.medgemma.routing.rules import Rule

JOB_KIND = "report"
OnProgress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that a rule asks of a study: `value` is what the study has, None where it has nothing or was
    not looked at; `met` is None where it was not.
    """

    condition: str
    value: Any
    met: bool | None


@dataclass(frozen=True, slots=True)
class Assessment:
    """Whether a study fits a rule, with every condition."""

    study_instance_uid: str
    fits: bool
    conditions: tuple[Condition, ...] = ()


@dataclass(slots=True)
class Router:
    """Evaluates the routes of an index; `scores` scores the studies that a rule's filters let pass."""

    index: CaseIndex
    scores: FindingScores
    on_progress: OnProgress = field(default=lambda _stage, _done, _total: None)

    def run(self, *, again: bool = False, names: Sequence[str] | None = None) -> list[Decision]:
        """Evaluate the routes that are enabled, the most urgent first, and send what fits.

        Looks at what was held back and at studies that gained images since the last time, or, with `again`,
        at everything that a route has not sent. Safe to be killed and to be run by several at once.
        """
        return [one for route in self.enabled(names) for one in self.run_one(route, again=again)]

    def enabled(self, names: Sequence[str] | None = None) -> list[RouteRecord]:
        """The routes that are enabled, or those of them that are named, the most urgent first."""
        routes = self.index.routes.listed()
        return [route for route in routes if route.enabled and (names is None or route.name in names)]

    def run_one(self, route: RouteRecord, *, again: bool = False) -> list[Decision]:
        """Evaluate one route."""
        rule = read_rule(route.name, route.rule)
        candidates = self.index.routes.candidates(route.name, again=again)
        fitting = self.fitting(rule, candidates.study_instance_uids)
        return self.index.routes.decide(route, candidates, fitting, routed_job(route.name, rule), rule.budget)

    def fitting(self, rule: Rule, study_instance_uids: Sequence[str]) -> list[str]:
        """Those of the studies that fit, in their order."""
        passing = self._passing(rule.filters, study_instance_uids)
        for score in rule.scores:
            probabilities = self._probabilities(score.source, score.label, passing)
            passing = [uid for uid in passing if score.holds(probabilities.get(uid))]
        return passing

    def assess(self, rule: Rule, study_instance_uids: Sequence[str]) -> list[Assessment]:
        """Whether and why each study fits. Scores are worked out for those that pass the filters."""
        uids = list(study_instance_uids)
        explained: dict[str, list[Condition]] = {uid: [] for uid in uids}
        for expression in rule.filters:
            passing = set(self._passing([expression], uids))
            values = self._values(expression, uids)
            for uid in uids:
                explained[uid].append(Condition(expression, values.get(uid), uid in passing))
        fitting = set(self._passing(rule.filters, uids))
        asked = [uid for uid in uids if uid in fitting]
        for score in rule.scores:
            probabilities = self._probabilities(score.source, score.label, asked)
            for uid in uids:
                value = probabilities.get(uid)
                met = score.holds(value) if uid in probabilities or uid in asked else None
                explained[uid].append(Condition(str(score), value, met))
                if not met:
                    fitting.discard(uid)
        return [Assessment(uid, uid in fitting, tuple(explained[uid])) for uid in uids]

    def _passing(self, filters: Sequence[str], uids: Sequence[str]) -> list[str]:
        """Those of the studies of which one image passes all filters. A label or quality that nothing has yet
        lets none pass.
        """
        try:
            self.index.check_filters(filters)
        except CatalogError as error:
            if error.code != "bad-filter":
                raise
            return []
        self.on_progress("evaluating routes", 0, len(uids))
        passing = self.index.passing(filters, uids)
        return [uid for uid in uids if uid in passing]

    def _values(self, expression: str, uids: Sequence[str]) -> Mapping[str, Any]:
        try:
            return self.index.condition_values(expression, uids)
        except CatalogError as error:
            if error.code != "bad-filter":
                raise
            return {}

    def _probabilities(self, source: str, label: str, uids: Sequence[str]) -> dict[str, float]:
        found = self.scores.of_studies(source, uids) if uids else {}
        return {
            uid: finding.probability
            for uid, findings in found.items()
            for finding in findings
            if finding.label == label
        }


def routed_job(route: str | None, rule: Rule) -> RoutedJob:
    """The job that drafts for a route, with the rule's options as they are now."""
    return RoutedJob(
        JOB_KIND, {"route": route, "generator": rule.generator, "options": rule.options.to_json()}
    )

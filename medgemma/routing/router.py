"""Evaluates routing rules: which studies fit a rule and why, and which are sent, held back, or would be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.service.routing_rules import Decision, RoutedJob, RoutingRule
from medsiglip.medgemma.findings import FindingScores
from medsiglip.medgemma.routing.rules import Rule, ScoreCondition, read_rule

JOB_KIND = "report"
TRAINED_ON = "the probe was trained on this patient's pictures, or on identical ones"
"""Why a score does not count: the probe has learned what to answer."""
OnProgress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a rule. `value` is what the study has, None where it has nothing or was not examined;
    `met` is None where it was not examined, and `reason` says why a score does not count.
    """

    condition: str
    value: Any
    met: bool | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Assessment:
    """Whether a study fits a rule, with every condition."""

    study_instance_uid: str
    fits: bool
    conditions: tuple[Condition, ...] = ()


@dataclass(slots=True)
class Router:
    """Evaluates the routing rules of an index; `scores` scores the studies that a rule's filters let pass.

    No study is routed on the score of a probe that was trained on its patient, or on one who shares a picture
    with the patient. `left_out` counts such studies by rule and source.
    """

    index: CaseIndex
    scores: FindingScores
    on_progress: OnProgress = field(default=lambda _stage, _done, _total: None)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter, init=False)

    def run(self, *, again: bool = False, names: Sequence[str] | None = None) -> list[Decision]:
        """Evaluate the rules that are enabled, the most urgent first, and send the studies that fit.

        Examines studies that were held back and those that gained images since the last evaluation, or, with
        `again`, every study that a rule has not sent. Safe to be killed and to be run by several at once.
        """
        return [one for rule in self.enabled(names) for one in self.run_one(rule, again=again)]

    def enabled(self, names: Sequence[str] | None = None) -> list[RoutingRule]:
        """The rules that are enabled, or those of them that are named, the most urgent first."""
        stored = self.index.routing_rules.listed()
        return [one for one in stored if one.enabled and (names is None or one.name in names)]

    def run_one(self, stored: RoutingRule, *, again: bool = False) -> list[Decision]:
        """Evaluate one rule."""
        rule = read_rule(stored.name, stored.rule)
        candidates = self.index.routing_rules.candidates(stored.name, again=again)
        fitting = self._fitting(stored.name, rule, candidates.study_instance_uids)
        job = routed_job(stored.name, rule)
        return self.index.routing_rules.decide(stored, candidates, fitting, job, rule.budget)

    def resend_failed(self, stored: RoutingRule) -> int:
        """Order drafts of a rule that failed again, with its options as they are now; returns how many."""
        job = routed_job(stored.name, read_rule(stored.name, stored.rule))
        return self.index.routing_rules.resend_failed(stored, job)

    def _fitting(self, name: str, rule: Rule, study_instance_uids: Sequence[str]) -> list[str]:
        """Those of the studies that fit the rule of that name, in their order."""
        passing = self._passing(rule.image_filters, study_instance_uids)
        trained = self._trained_on(rule, passing)
        for score in rule.scores:
            unseen = [uid for uid in passing if score.source not in trained.get(uid, ())]
            self.left_out[name, score.source] += len(passing) - len(unseen)
            probabilities, _ = self._probabilities(score, unseen)
            passing = [uid for uid in unseen if score.holds(probabilities.get(uid))]
        return passing

    def assess(self, rule: Rule, study_instance_uids: Sequence[str]) -> list[Assessment]:
        """Whether and why each study fits. Scores are computed for the studies that pass the filters."""
        uids = list(study_instance_uids)
        explained: dict[str, list[Condition]] = {uid: [] for uid in uids}
        for written, asked in zip(rule.filters, rule.image_filters, strict=True):
            passing = set(self._passing([asked], uids))
            values = self._values(asked, uids)
            for uid in uids:
                explained[uid].append(Condition(written, values.get(uid), uid in passing))
        fitting = set(self._passing(rule.image_filters, uids))
        examined = frozenset(fitting)
        trained = self._trained_on(rule, [uid for uid in uids if uid in examined])
        for score in rule.scores:
            unseen = [uid for uid in uids if uid in examined and score.source not in trained.get(uid, ())]
            probabilities, reasons = self._probabilities(score, unseen)
            for uid in uids:
                value = probabilities.get(uid)
                met = score.holds(value) if uid in examined else None
                reason = TRAINED_ON if score.source in trained.get(uid, ()) else reasons.get(uid)
                explained[uid].append(Condition(str(score), value, met, reason))
                if not met:
                    fitting.discard(uid)
        return [Assessment(uid, uid in fitting, tuple(explained[uid])) for uid in uids]

    def _trained_on(self, rule: Rule, uids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """The probes among the rule's sources of scores that were trained on each of the studies."""
        probes = {score.source for score in rule.scores if score.source.startswith("probe:")}
        return self.scores.trained_on(uids, sorted(probes)) if probes and uids else {}

    def _passing(self, filters: Sequence[str], uids: Sequence[str]) -> list[str]:
        """Those of the studies of which one image passes all filters; none where a filter names a label or
        quality that no image has.
        """
        try:
            self.index.filters.check(filters)
        except CatalogError as error:
            if error.code != "bad-filter":
                raise
            return []
        self.on_progress("evaluating routes", 0, len(uids))
        passing = self.index.filters.passing(filters, uids)
        return [uid for uid in uids if uid in passing]

    def _values(self, expression: str, uids: Sequence[str]) -> Mapping[str, Any]:
        try:
            return self.index.filters.values(expression, uids)
        except CatalogError as error:
            if error.code != "bad-filter":
                raise
            return {}

    def _probabilities(
        self, score: ScoreCondition, uids: Sequence[str]
    ) -> tuple[dict[str, float], dict[str, str]]:
        """The probability of the condition's label by study, and why others have none: a study of another
        part of the body, or of a patient for whom the source is not made, is not scored.
        """
        found = self.scores.scored(score.source, uids) if uids else {}
        probabilities = {
            uid: finding.probability
            for uid, one in found.items()
            for finding in one.findings
            if finding.label == score.label
        }
        reasons = {uid: one.reasons[score.label] for uid, one in found.items() if score.label in one.reasons}
        return probabilities, reasons


def routed_job(name: str | None, rule: Rule) -> RoutedJob:
    """The job that drafts for the rule of that name, with the rule's options as they are now."""
    return RoutedJob(
        JOB_KIND, {"route": name, "generator": rule.generator, "options": rule.options.to_json()}
    )

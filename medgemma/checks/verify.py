"""The check of every sentence of a draft against the scores of its study.

A verdict is one of
- `agree`: the text states of a finding what its score states;
- `contradict`: it states the opposite of a score that is certain;
- `doubtful`: it states with a strong hedge ("suspicious for") what its score states to be absent;
- `unsupported`: it states that a known finding is present or absent, and that finding has no score, so that
  the generator is the only source;
- `not-checkable`: it names no known finding, leaves the finding open ("possible", "cannot be excluded",
  "no effusion on the left", a question or history), or the score itself lies in its uncertain band:
  that is never a contradiction.

Scores have no side and no grade, so a sentence is checked for the presence of a finding only. Words that are
not about this patient are not checked: lines quoted with `>`, and sentences copied from similar cases.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from medsiglip.medgemma.checks.language import is_foreign, language
from medsiglip.medgemma.checks.lexicon import (
    EVERYTHING,
    Claim,
    Entry,
    Score,
    is_general,
    lexicon,
    own_phrases,
    scores,
)
from medsiglip.medgemma.checks.polarity import Statement, statements
from medsiglip.medgemma.checks.sentences import Sentence, split
from medsiglip.medgemma.checks.spelling import corrected
from medsiglip.medgemma.checks.tables import TableReading
from medsiglip.medgemma.checks.terms import PhraseTable, Word, table
from medsiglip.medgemma.checks.wording import Kind, is_of_another_picture, is_temporal, kind_of_picture
from medsiglip.medgemma.records import Check, Evidence, Flag, Verdict

__all__ = ["check_draft", "flag_flips", "flips"]

_PLAIN = Entry()


def check_draft(text: str, evidence: Evidence, copied: Iterable[int] = ()) -> tuple[Check, ...]:
    """Check each sentence of `text`, or each clause where a sentence names several findings.

    Every sentence has one check or more, in the order of the text; `text[check.start : check.end]` is
    `check.sentence`. Of a list ("no effusion or pneumothorax") each finding has a check of its own over the
    same clause. `finding` is the label as the evidence has it, or the lexicon's name where nothing scored it.
    `copied` are the offsets at which sentences begin that were found in a similar case
    (`medsiglip.medgemma.checks.overlap`).
    """
    return tuple(_Checker.of(evidence).checks(text, frozenset(copied)))


def flips(with_context: str, without_context: str, evidence: Evidence) -> tuple[str, ...]:
    """Labels that are present in one of two drafts of a study and absent in the other, sorted."""
    first, second = (_polarities(check_draft(text, evidence)) for text in (with_context, without_context))
    both = first.keys() & second.keys()
    return tuple(sorted(name for name in both if first[name] != second[name]))


def flag_flips(checks: Sequence[Check], flipped: Sequence[str]) -> tuple[Check, ...]:
    """Add `flipped-by-context` to the checks that take a side on one of the flipped labels."""
    return tuple(
        replace(check, flags=(*check.flags, "flipped-by-context"))
        if check.finding in flipped and check.polarity is not None
        else check
        for check in checks
    )


def _polarities(checks: Sequence[Check]) -> dict[str, frozenset[bool]]:
    found: dict[str, set[bool]] = defaultdict(set)
    for check in checks:
        if check.finding is not None and check.polarity is not None:
            found[check.finding].add(check.polarity)
    return {name: frozenset(polarities) for name, polarities in found.items()}


@dataclass(frozen=True, slots=True)
class _Compared:
    """A statement with the score that it is compared with, or a finding without one."""

    statement: Statement
    score: Score | None
    present: bool | None
    name: str | None


@dataclass(frozen=True, slots=True)
class _Checker:
    evidence: Evidence
    scored: Mapping[str, Sequence[Score]]
    own: PhraseTable[Claim]
    kind: Kind

    @classmethod
    def of(cls, evidence: Evidence) -> _Checker:
        scored: dict[str, list[Score]] = defaultdict(list)
        found = scores(evidence.findings)
        for score in found:
            scored[score.name].append(score)
        return cls(evidence, scored, own_phrases(found), kind_of_picture(evidence))

    def checks(self, text: str, copied: frozenset[int]) -> Iterator[Check]:
        sections = table("wording")["sections"]
        unseen = frozenset(sections["unseen"])
        read: list[tuple[Sentence, list[Statement], tuple[Flag, ...]]] = []
        rows, whole, own = TableReading(text), language(text), self.own.words()
        for sentence in split(text, unseen | frozenset(sections["seen"])):
            of_others = _not_of_patient(sentence, copied)
            if of_others:
                read.append((sentence, [], of_others))
                continue
            if is_foreign(text[sentence.start : sentence.end], whole):
                read.append((sentence, [], ("other-language",)))
                continue
            found = corrected(rows.words(sentence), own)
            stated = statements(found, self.own, unseen=sentence.heading in unseen)
            flags = _flags(found, self.evidence.prior is not None, sentence.heading in unseen, self.kind)
            read.append((sentence, stated, flags))
        asserted = {name for _, stated, _ in read for name in self._asserted(stated)}
        for sentence, stated, flags in read:
            yield from self._sentence(text, sentence, stated, flags, asserted)

    def _sentence(
        self,
        text: str,
        sentence: Sentence,
        stated: Sequence[Statement],
        flags: tuple[Flag, ...],
        asserted: set[str],
    ) -> Iterator[Check]:
        inside = self._asserted(stated)
        first, last = (min(s.start for s in stated), max(s.end for s in stated)) if stated else (0, 0)
        seen = set()  # by its parts: a very long clause is not copied for each of its findings
        for statement in stated:
            start = sentence.start if statement.start == first else statement.start
            end = sentence.end if statement.end == last else statement.end
            spared = asserted if statement.otherwise else inside
            for compared in self._compared(statement, spared):
                key = (start, end, compared.name, compared.present, compared.score, statement.hedged)
                if key not in seen:
                    seen.add(key)
                    yield _check(text, start, end, compared, flags)
        if not seen:
            yield Check(
                text[sentence.start : sentence.end],
                sentence.start,
                sentence.end,
                None,
                "not-checkable",
                flags=flags,
            )

    def _asserted(self, stated: Sequence[Statement]) -> set[str]:
        """Findings that sentences state as present, with those whose scores stand in for them."""
        names = {name for s in stated if s.present and s.claim.asserts for name in s.claim.findings}
        entries = lexicon().entries
        return names | {kind for name in names if name in entries for kind in entries[name].kind_of}

    # Scores that a statement is compared with

    def _compared(self, statement: Statement, spared: set[str]) -> Iterator[_Compared]:
        claim, entries = self._of_region(statement.claim), lexicon().entries
        present = statement.present
        if is_general(claim):
            yield from self._general(statement, spared)
            return
        names = [name for name in claim.findings if name in self.scored]
        if present is False:
            covered = [name for finding in claim.findings for name in entries.get(finding, _PLAIN).covers]
            covered = [] if statement.partly else covered
            names += [name for name in covered if name in self.scored and name not in names]
            names = names or self._stand_ins(claim, "instead")[:1]
            names = [name for name in names if name not in spared] if not claim.asserts else names
            for name in names:
                yield from (_Compared(statement, score, False, name) for score in self.scored[name])
        else:
            names = names or self._stand_ins(claim, "instead") or self._stand_ins(claim, "kind_of")
            if names and not set(names) & set(claim.findings):
                names += self._stand_ins(claim, "beside")
            if names:
                yield _Compared(statement, _best(self.scored, names), present, names[0])
        opposed = list(self._opposites(statement, claim.findings))
        yield from opposed
        if not names and not opposed:
            yield _Compared(statement, None, present, claim.findings[0])

    def _of_region(self, claim: Claim) -> Claim:
        """The claim with the findings only that its words mean in this part of the body: "mass" of a chest
        is a lesion of the lung. A score of the user's own keeps its words.
        """
        entries = lexicon().entries
        known = self.kind.regions
        fit = tuple(
            name
            for name in claim.findings
            if not (regions := entries.get(name, _PLAIN).regions) or known & {*regions} or self._is_own(name)
        )
        if not known or not fit or len(fit) == len(claim.findings):
            return claim
        return replace(claim, findings=fit)

    def _is_own(self, name: str) -> bool:
        """Whether a probe of the user's scores a finding."""
        return any(score.finding.source.startswith("probe:") for score in self.scored.get(name, ()))

    def _general(self, statement: Statement, spared: set[str]) -> Iterator[_Compared]:
        """Compare "no acute process" or "normal study" with each finding that it denies."""
        entries = lexicon().entries
        covers = [EVERYTHING] if statement.claim.findings[0] == EVERYTHING else []
        covers += [c for finding in statement.claim.findings for c in entries.get(finding, _PLAIN).covers]
        if statement.present is not False:
            yield _Compared(statement, None, None, None)
            return
        for name, found in self.scored.items():
            entry = entries.get(name, _PLAIN)
            wanted = name in covers or (EVERYTHING in covers and name in entries and entry.kind == "finding")
            if wanted and name not in spared and not entry.opposite:
                yield from (_Compared(statement, score, False, name) for score in found)
            elif entry.opposite and (EVERYTHING in covers or set(entry.opposite) & set(covers)):
                yield from (_Compared(statement, score, True, name) for score in found)

    def _stand_ins(self, claim: Claim, field: str) -> list[str]:
        entries = lexicon().entries
        names = [name for finding in claim.findings for name in getattr(entries.get(finding, _PLAIN), field)]
        return [name for name in dict.fromkeys(names) if name in self.scored]

    def _opposites(self, statement: Statement, findings: Sequence[str]) -> Iterator[_Compared]:
        """Compare a finding with labels of its absence, such as the grade "none"."""
        entries = lexicon().entries
        for name, found in self.scored.items():
            opposite = entries.get(name, _PLAIN).opposite
            direct = any(finding in opposite for finding in findings)
            kind = any(set(entries.get(finding, _PLAIN).kind_of) & set(opposite) for finding in findings)
            if direct or (kind and statement.present):
                present = None if statement.present is None else not statement.present
                yield from (_Compared(statement, score, present, name) for score in found)


def _best(scored: Mapping[str, Sequence[Score]], names: Sequence[str]) -> Score:
    """Of the scores that a phrase may mean, the one that supports it most: present, uncertain, absent."""
    rank = {True: 0, None: 1, False: 2}
    return min(
        (score for name in names for score in scored[name]), key=lambda score: rank[score.finding.present]
    )


def _check(text: str, start: int, end: int, compared: _Compared, flags: tuple[Flag, ...]) -> Check:
    finding = compared.score.finding if compared.score else None
    verdict: Verdict = "not-checkable"
    if compared.present is not None and finding is None:
        verdict = "unsupported" if compared.name else "not-checkable"
    elif compared.present is not None and finding is not None and finding.present is not None:
        verdict = "agree" if finding.present == compared.present else "contradict"
        if verdict == "contradict" and compared.statement.hedged:
            verdict = "doubtful"
    return Check(
        sentence=text[start:end],
        start=start,
        end=end,
        finding=finding.label if finding else compared.name,
        verdict=verdict,
        polarity=compared.present,
        probability=finding.probability if finding else None,
        flags=flags,
        hedged=compared.statement.hedged and compared.present is True,
    )


def _not_of_patient(sentence: Sentence, copied: frozenset[int]) -> tuple[Flag, ...]:
    """Flags of a sentence that is not about this patient; none if it is."""
    flags: list[Flag] = []
    if sentence.start in copied:
        flags.append("copied-from-similar-case")
    if sentence.quoted:
        flags.append("quoted")
    return tuple(flags)


def _flags(found: Sequence[Word], has_prior: bool, unseen: bool, kind: Kind) -> tuple[Flag, ...]:
    flags: list[Flag] = []
    if not has_prior and is_temporal(found):
        flags.append("temporal-without-prior")
    if not unseen and is_of_another_picture(found, kind):
        flags.append("other-modality")
    return tuple(flags)

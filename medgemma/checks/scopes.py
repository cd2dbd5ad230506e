"""The scopes of triggers over the findings that follow them, in one pass over a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from medsiglip.medgemma.checks.lexicon import is_general
from medsiglip.medgemma.checks.phrases import (
    LOOK,
    Mention,
    Phrase,
    ScopedMention,
    denies_a_part,
    lists_denied,
    one_sided,
)
from medsiglip.medgemma.checks.triggers_after import (
    follows_its_finding,
    is_last,
    leave_open,
    place_after,
    read_after,
)

_WHERE = ("in", "on", "at", "within", "involving")
_NARROWING = ("among", "to", "of", "that", "suggestive", *_WHERE)
_ALTERNATIVE = ("or", "nor", "and or")
_NEW_NOUN = frozenset({"determiner", "severity"})


@dataclass(slots=True)
class Reading:
    """One pass over a sentence. `negation`, `hedge`, `likely`, `differential`, `question` and `memory` are
    the positions of triggers whose scope is still open, `outside` the negation around a bracket; `cuts` is
    where each clause begins.
    """

    row: Sequence[Phrase]
    found: Sequence[Mention]
    negation: int | None = None
    strong: bool = False
    repeated: bool = False
    gone: bool = False
    hedge: int | None = None
    likely: int | None = None
    differential: int | None = None
    question: int | None = None
    memory: int | None = None
    outside: tuple[int | None, bool] = (None, False)
    unchanged: bool = False
    past: bool = False
    headed: bool = False
    verb: bool = False
    scoped: list[ScopedMention] = field(default_factory=list)
    cuts: list[int] = field(default_factory=lambda: [0])
    mentions_in_scope: int = 0
    noun_start: int = 0

    def read(self) -> list[ScopedMention]:
        """The mentions of the sentence with the triggers that reach them, in order."""
        upcoming = iter(self.found)
        following = next(upcoming, None)
        for position, phrase in enumerate(self.row):
            self._before(position, phrase)
            while following is not None and following.position == position:
                self._add_mention(following)
                following = next(upcoming, None)
            read_after(self.row, self.scoped, position, self._clause)
        leave_open(self.row, self.scoped)
        return self.scoped

    # Scopes that a phrase opens or ends for the findings after it

    def _before(self, position: int, phrase: Phrase) -> None:
        self._end_scopes(position, phrase)
        self._open_negation(position, phrase)
        self._open_hedges(position, phrase)

    def _end_scopes(self, position: int, phrase: Phrase) -> None:
        parts = phrase.parts
        if self.memory is not None and self._is_new_subject(position, phrase):
            self.memory = None
        if phrase.text == "(":
            self.outside = (self.negation, self.strong)
        elif phrase.text == ")" and self.outside[0] is not None:
            self._end()
            following = self.row[position + 1 : position + 2]
            if following and "joint" in following[0].parts:
                self.negation, self.strong = self.outside
                self.mentions_in_scope = 1
            return
        if "contrast" in parts or ("stop" in parts and phrase.text != ":" and not self._answered(position)):
            self._end(position)
            if phrase.text == ";" or "contrast" in parts:
                self.question = self.differential = None
        elif phrase.text == ":" or (phrase.text in ("—", "?", "=") and self._answered(position)):
            self._colon(position)
        elif "joint" in parts:
            self._joint(position, phrase)
        elif "with" in parts and self._other_noun(position):
            self._end(position)
        elif phrase.text == "positive":
            self._end()
        if "likely" in parts and self.row[max(position - 1, 0)].text == ",":
            self._end(position)

    def _is_new_subject(self, position: int, phrase: Phrase) -> bool:
        """Whether a statement begins after words that compare: "compared to the old film there is ..."."""
        if phrase.text == "there":
            return True
        compares = self.memory is not None and "compar" in self.row[self.memory].text
        return compares and phrase.text in ("the", "a", "an") and position - (self.memory or 0) > 1

    def _open_negation(self, position: int, phrase: Phrase) -> None:
        parts = phrase.parts
        if "neutral" in parts:
            self._end()
            self.unchanged = "change" in parts
        elif parts & {"negation", "negation_clause"} and not follows_its_finding(self.row, position):
            if self.negation is not None and self.strong:
                self.hedge = position  # "it is not true that there is no effusion"
            again = self.negation is not None and phrase.text.startswith("no")
            self.repeated = again and self.row[position - 1].text == ","
            self.negation, self.strong = position, "negation_clause" in parts
            self.gone = "gone" in parts
            self.noun_start, self.verb, self.mentions_in_scope = position, False, 0
            if self.headed or phrase.text.startswith(("without", "w/o")):
                self.memory = None
            if position and "verb" in self.row[position - 1].parts:
                self.question = None
        elif self._denies_what_is_next(position, phrase) or self._heads_denied(position, phrase):
            self.negation, self.strong, self.noun_start = position, False, position
            self.verb, self.mentions_in_scope = False, 0
        elif "verb" in parts or "existence" in parts:
            self.verb = True

    def _open_hedges(self, position: int, phrase: Phrase) -> None:
        parts = phrase.parts
        if phrase.text == "over" and any(
            "favor" in before.text for before in self.row[max(position - LOOK, 0) : position]
        ):
            self.hedge = position
        if "hedge" in parts and not self._is_hedge_after(position, phrase):
            self.hedge = position
        if phrase.text == "question" and not position and len(self.row) > 2:
            self.hedge = position
        if phrase.text == "apparent" and self._names_next(position) and self.negation != position - 1:
            self.hedge = position
        if "likely" in parts and "firm" not in parts:
            self.likely = position
        if "differential" in parts:
            self.differential = position
        if "open" in parts or (phrase.text == "exclude" and position == 0):
            self.question = position
        if "memory" in parts or (phrase.text in ("for", "against") and self._is_purpose(position)):
            self.memory, self.headed, self.past = position, False, False
        elif "past_before" in parts:
            self.memory, self.headed, self.past = position, False, True

    def _denies_what_is_next(self, position: int, phrase: Phrase) -> bool:
        """Whether "none" stands for "no", or "negative" before the study of "negative film for pneumonia"."""
        if phrase.text == "none":
            return self._names_next(position)
        if phrase.text != "for":
            return False
        near = self.row[max(position - 3, 0) : position]
        return any(phrase.text == "negative" for phrase in near) and not any(phrase.claims for phrase in near)

    def _heads_denied(self, position: int, phrase: Phrase) -> bool:
        """Whether a list of what is denied follows: "not seen: effusion, edema"."""
        following = [one.text for one in self.row[position + 1 : position + 2]]
        near = [one for one in self.scoped[-LOOK:] if one.clause == self._clause]
        named = any(not is_general(one.mention.claim) for one in near)
        return "negation_after" in phrase.parts and following == [":"] and not named

    def _is_hedge_after(self, position: int, phrase: Phrase) -> bool:
        """Whether a hedge that may precede or follow its finding follows it."""
        if phrase.text == "?":
            return position > 0 and is_last(self.row, position)
        return "hedge_after" in phrase.parts and position == len(self.row) - 1

    def _names_next(self, position: int) -> bool:
        following = self.row[position + 1 : position + 2]
        return bool(following) and bool(following[0].claims or following[0].subject)

    def _is_purpose(self, position: int) -> bool:
        """Whether "for" says what a tube, drug or study is for, as in "chest tube for pneumothorax"."""
        for before in reversed(self.row[max(position - 4, 0) : position]):
            if "purpose" in before.parts or any(
                "support-devices" in claim.findings for claim in before.claims
            ):
                return True
            if before.claims or before.parts & {"verb", "joint", "contrast", "stop", "general", "likely"}:
                return False
        return False

    def _answered(self, position: int) -> bool:
        """Whether a dash or question mark is used as a colon, "pneumothorax - absent"."""
        following = self.row[position + 1] if position + 1 < len(self.row) else None
        if self.row[position].text not in ("—", "?", "=") or following is None:
            return False
        if "negation_after" in following.parts or following.text in ("no", "yes", "positive", "present"):
            return is_last(self.row, position + 1)
        return False

    def _colon(self, position: int) -> None:
        """End what a colon ends; a finding just before it is what the answer after it is of."""
        last = self.scoped[-1] if self.scoped else None
        if (
            last is not None
            and last.denied_before
            and not last.first
            and position - last.mention.position == 1
        ):
            last.denied_before = last.partly = False
            self.cuts.append(self.noun_start)
            last.clause = self._clause
        listed = self.negation == position - 1 or lists_denied(self.row, self.negation, position)
        if not listed:  # "denied: pneumonia"
            self.negation = None
        self.hedge = self.likely = None
        self.headed = True

    def _joint(self, position: int, phrase: Phrase) -> None:
        alternative = phrase.text in _ALTERNATIVE
        listed = alternative or self._list_goes_on(position)
        if not (listed or self._same_list(position)):
            self.hedge = None
            if phrase.text == ",":
                self.likely = None
        if phrase.text == "," and not listed:
            self.memory = None
        following = self.row[position + 1 : position + 2]
        if following and following[0].text in ("there", "the"):
            self.differential = None
        if not alternative and (self.negation is not None) and self._new_clause(position, phrase):
            self._end(position)
        if self.mentions_in_scope:
            self.noun_start = position

    def _end(self, clause_at: int | None = None) -> None:
        self.negation = self.hedge = self.likely = self.memory = None
        self.verb, self.mentions_in_scope, self.unchanged = False, 0, False
        if clause_at is not None:
            self.cuts.append(clause_at)

    @property
    def _clause(self) -> int:
        return len(self.cuts) - 1

    def _other_noun(self, position: int) -> bool:
        """Whether "with" is followed by a statement of its own: "a small ...", or another finding."""
        for phrase in self.row[position + 1 : position + 5]:
            if phrase.parts & _NEW_NOUN or "both" in phrase.parts:
                return True
            if phrase.claims:
                claims = [claim for claim in phrase.claims if claim.asserts and not claim.sign]
                return any(not name.startswith("own:") for claim in claims for name in claim.findings)
            if not phrase.parts & {"side", "place", "part", "general"}:
                return False
        return False

    def _same_list(self, position: int) -> bool:
        """Whether a comma stands in a list of nouns that ends in "and", or after the trigger itself."""
        if self.row[position - 1 : position] and position - 1 in (self.likely, self.hedge):
            return True
        for later in range(position + 1, min(position + 1 + LOOK, len(self.row))):
            phrase = self.row[later]
            if phrase.parts & {"contrast", "stop", "verb", "negation", "severity", "determiner", "with"}:
                return False
            if phrase.text in ("and", "or"):
                return self.row[position].text == ","
        return False

    def _list_goes_on(self, position: int) -> bool:
        """Whether "or" follows before the clause ends."""
        for phrase in self.row[position + 1 : position + 1 + LOOK]:
            if phrase.parts & {"contrast", "stop", "verb", "negation"}:
                return False
            if phrase.text in _ALTERNATIVE:
                return True
        return False

    def _new_clause(self, position: int, phrase: Phrase) -> bool:
        """Whether a comma or "and" inside a negation ends it."""
        after = position + 1
        if phrase.text == "," and after < len(self.row) and self.row[after].text == "and":
            after += 1
        if after >= len(self.row):
            return False
        following = self.row[after]
        if self.repeated and self._names_next(position) and not self._list_goes_on(position):
            return True  # "no edema, no effusion, cardiomegaly"
        if following.parts & {"determiner"} or self.verb or following.state in ("normal", "clear"):
            return True
        if following.parts & {"severity", "both"}:
            return phrase.text == "and" or not self._list_goes_on(position)
        return self._own_predicate(after, phrase)

    def _own_predicate(self, position: int, joint: Phrase) -> bool:
        """Whether what follows has a verb of its own, as in "no effusion, cardiomegaly is stable"."""
        several = joint.text == "and"
        for later in range(position, min(position + LOOK, len(self.row))):
            phrase = self.row[later]
            if phrase.parts & {"contrast", "stop"} or phrase.text == ",":
                return False
            several = several or phrase.text in _ALTERNATIVE
            if later > position and self.row[later - 1].claims and not several and self._affirms(later):
                return True
            if phrase.parts & {"negation_after", "hedge_after", "likely_after"}:
                return True
            if "verb" in phrase.parts:
                ending = self.row[later + 1] if later + 1 < len(self.row) else None
                if ending is not None and "existence" in ending.parts and several:
                    return phrase.text in ("i", "is", "was") and joint.text == "and"
                return True
        return False

    def _affirms(self, position: int) -> bool:
        """Whether a finding is followed by nothing but what affirms it: "effusion present", "edema, mild"."""
        phrase = self.row[position]
        affirms = phrase.text in ("present", "positive", "yes") or "severity" in phrase.parts
        if not affirms or is_last(self.row, position):
            return affirms
        placed = self.row[position + 1]
        return bool(placed.parts & {"side", "both", "place"}) or placed.text in _WHERE

    # The findings themselves

    def _add_mention(self, mention: Mention) -> None:
        scoped = ScopedMention(mention, self._clause, partly=mention.partly, unchanged=self.unchanged)
        reached = self.negation
        if reached is not None and mention.subject is not None and not self.strong:
            predicate = mention.subject < mention.position
            apart = not self._one_noun(mention) or self._follows_comma(mention.subject)
            if predicate and reached < mention.subject and apart:
                self._end(mention.subject)
                scoped.clause, reached = self._clause, None
        scoped.denied_before = reached is not None
        opened = (self.hedge, self.question, self.differential, None if self.past else self.memory)
        scoped.open = any(trigger is not None for trigger in opened)
        if self.past and self.memory is not None:
            scoped.past = mention.position
        scoped.likely = self.likely is not None
        if mention.claim.asserts and not self.gone and denies_a_part(self.row, reached, mention.position):
            scoped.denied_before, scoped.open = False, True
        elif reached is not None:
            scoped.first = self.mentions_in_scope == 0
            scoped.gone = self.gone
            self.mentions_in_scope += 1
            scoped.partly = scoped.partly or self._is_part(mention, reached)
        self.scoped.append(scoped)

    def _is_part(self, mention: Mention, negation: int) -> bool:
        """Whether only one side, place, size or kind of a finding is denied."""
        near = [*self.row[max(self.noun_start, mention.position - LOOK) : mention.position]]
        listed = [at for at, phrase in enumerate(near) if phrase.text in ("other", "additional") and at]
        near = [phrase for at, phrase in enumerate(near) if not (at in listed and near[at - 1].text == "or")]
        near += place_after(self.row, mention.position) + self._subject_before(negation)
        colon = next((at for at, phrase in enumerate(self.row[:4]) if phrase.text == ":"), 0)
        labels = self.row[:colon] if colon < negation else []  # "Left lung: no effusion"
        near += [phrase for phrase in labels if "side" in phrase.parts]
        kinds = [phrase for phrase in near if phrase.state != "enlarged" or not mention.subject]
        if any("part" in phrase.parts for phrase in kinds) or one_sided(near):
            return True
        return is_general(mention.claim) and self._qualified(negation, mention.position)

    def _subject_before(self, negation: int) -> list[Phrase]:
        """The phrases of the organ that is said to be without a finding: "the left lung is free of"."""
        near: list[Phrase] = []
        for phrase in reversed(self.row[max(negation - 6, 0) : negation]):
            if phrase.claims or phrase.parts & {"joint", "contrast", "stop"}:
                break
            near.append(phrase)
        organs = any(phrase.subject not in (None, "study", "nothing") for phrase in near)
        return near if organs else []

    def _qualified(self, negation: int, position: int) -> bool:
        """Whether a general word is narrowed: "no osseous abnormality", "no findings of pneumonia"."""
        between = self.row[max(negation, position - LOOK) + 1 : position]
        if any(not phrase.parts or phrase.subject not in (None, "study") for phrase in between):
            return True
        after = self.row[position + 1 : position + 5]
        if not after or (after[0].text not in _NARROWING and "likely" not in after[0].parts):
            return False
        return after[0].text not in _WHERE or not any(phrase.subject == "study" for phrase in after)

    def _follows_comma(self, position: int) -> bool:
        """Whether a subject begins a part of its own: "no effusion, heart enlarged"."""
        at = position - 1
        if at > 0 and "determiner" in self.row[at].parts:
            at -= 1
        return at > 0 and self.row[at].text == "," and not self._list_goes_on(at)

    def _one_noun(self, mention: Mention) -> bool:
        """Whether subject and state are one noun, "mediastinal widening", with no verb between."""
        subject = mention.subject if mention.subject is not None else mention.position
        return not any("verb" in phrase.parts for phrase in self.row[subject : mention.position][: 2 * LOOK])

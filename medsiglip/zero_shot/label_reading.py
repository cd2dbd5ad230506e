"""How a free label is read: what it is about, and whether it says that this is there or that it is not.

"no pleural effusion", "without pleural effusion" and "pleural effusion is absent" are about the same as
"pleural effusion"; "a chest radiograph without cardiomegaly" is about the same as "a chest radiograph with
cardiomegaly", and "normal chest" as "abnormal chest". The cues are English, and those of NegEx (Chapman et
al., A simple algorithm for identifying negated findings, J Biomed Inform 2001) that can begin or end a label.
"""

from dataclasses import dataclass

Words = tuple[str, ...]


def _cues(text: str) -> dict[Words, bool]:
    """Phrases, each on its line, as words; those behind "not:" deny what they stand beside."""
    found: dict[Words, bool] = {}
    for line in text.strip().splitlines():
        kind, _, phrases = line.partition(":")
        found |= {tuple(phrase.split()): kind.strip() == "not" for phrase in phrases.split(",")}
    return found


_BEGINNINGS = _cues(
    """
    not: no, not, without, without any, absence of, absent, lack of, negative for, free of, free from
    not: excludes, ruled out, no evidence of, no evidence for, no sign of, no signs of, no findings of
    not: no indication of, no suggestion of, without evidence of, without signs of
    is: there is, there are, there is evidence of, evidence of, sign of, signs of, presence of, findings of
    is: positive for
    """
)
_ENDINGS = _cues(
    """
    not: absent, is absent, are absent, not seen, is not seen, are not seen, none, is ruled out, are ruled out
    not: ruled out, excluded, is excluded, are excluded, has been excluded, not present, is not present
    not: are not present, not identified, is not identified, are not identified, not visible, is not visible
    not: are not visible, not detected, is not detected, are not detected
    is: present, is present, are present, seen, is seen, are seen, is identified, are identified, is visible
    is: are visible, identified, detected, not absent, is not absent
    """
)
_WITHIN: dict[Words, bool] = _cues(
    """
    not: without, with no, without any, with no evidence of, without evidence of, with absence of, showing no
    not: showing no evidence of, that shows no, demonstrating no
    is: with, with evidence of, showing, showing evidence of, that shows, demonstrating
    """
)
_LONGEST = max(len(cue) for cues in (_BEGINNINGS, _ENDINGS, _WITHIN) for cue in cues)
# "cannot be excluded", "not ruled out" and the like leave open what they are about, which is no denial.
_DOUBTED = frozenset({"not", "cannot", "never"})
# "no longer", "not only": the word denies something else.
_OTHERWISE = frozenset({"longer", "only", "otherwise", "necessarily", "certain", "more"})
_ARTICLES = frozenset({"a", "an", "the", "any"})
# What is there in every picture that the label may be compared with, so that denying what it shows denies the
# whole label. Of "pleural effusion without pneumothorax" that would not be true.
_CARRIER_WORDS = """
radiograph radiographs xray xrays film films image images picture pictures photograph photo scan scans ct
cta mri mr pet ultrasound sonogram mammogram mammography tomogram tomography study view views slide
section specimen patch frame slice series fundus fundoscopy echocardiogram angiogram examination exam
biopsy histology patient person man woman child adult chest lung lungs heart brain head abdomen pelvis
breast breasts retina eye skin tissue spine knee hip hand wrist foot ankle shoulder elbow
"""
_CARRIERS = frozenset(_CARRIER_WORDS.split())


@dataclass(frozen=True, slots=True)
class ReadLabel:
    """What a label is about: `finding`, in pictures of `carrier` ("" for any). With `is_normality` it is
    about whether the finding is abnormal, or with an empty one anything. `negated` says that the label denies
    it. All words are canonical, see `medsiglip.tokenizer.canonicalise`.
    """

    finding: str
    carrier: str = ""
    negated: bool = False
    is_normality: bool = False


def read_label(canonical: str) -> ReadLabel:
    """Read a label of canonical words. The work is linear in their number."""
    words = tuple(canonical.split())
    normality = _normality(words)
    if normality is not None:
        return normality
    within = _within(words)
    if within is not None:
        carrier, finding, negated = within
        return ReadLabel(" ".join(finding), " ".join(carrier), negated)
    finding, negated = _unwrapped(words)
    return ReadLabel(" ".join(finding), negated=negated)


def _normality(words: Words) -> ReadLabel | None:
    """ "normal chest", "heart size is normal", "abnormal mammogram"."""
    for word, negated in (("normal", True), ("unremarkable", True), ("abnormal", False)):
        if words[:1] == (word,):
            return ReadLabel(" ".join(words[1:]), negated=negated, is_normality=True)
        if words[-2:] in (("is", word), ("are", word)):
            return ReadLabel(" ".join(words[:-2]), negated=negated, is_normality=True)
    return None


def _within(words: Words) -> tuple[Words, Words, bool] | None:
    """Carrier, finding and whether it is denied, of a label that says what a picture shows."""
    for place in range(1, len(words)):
        if words[place - 1] not in _CARRIERS:
            continue
        length = _at_beginning(words, place, len(words), _WITHIN)
        if length:
            negated = _WITHIN[words[place : place + length]]
            finding, denied = _unwrapped(words[place + length :])
            return words[:place], finding, negated != denied
    return None


def _unwrapped(words: Words) -> tuple[Words, bool]:
    """What is left without the cues around it, and whether they deny it: two denials are none."""
    negated, low, high = False, 0, len(words)
    while length := _at_beginning(words, low, high, _BEGINNINGS):
        if words[low + length] in _OTHERWISE:
            break
        negated ^= _BEGINNINGS[words[low : low + length]]
        low += length
        low += high - low > 1 and words[low] in _ARTICLES
    while length := _at_end(words, low, high, _ENDINGS):
        if not _DOUBTED.isdisjoint(words[max(low, high - length - 2) : high - length]):
            break
        negated ^= _ENDINGS[words[high - length : high]]
        high -= length
    low += high - low > 1 and words[low] in _ARTICLES
    return words[low:high], negated


def _at_beginning(words: Words, low: int, high: int, cues: dict[Words, bool]) -> int:
    """Words of the longest cue with which words[low:high] begin, and after which a word is left, or 0."""
    lengths = range(min(_LONGEST, high - low - 1), 0, -1)
    return next((length for length in lengths if words[low : low + length] in cues), 0)


def _at_end(words: Words, low: int, high: int, cues: dict[Words, bool]) -> int:
    """The same at the end."""
    lengths = range(min(_LONGEST, high - low - 1), 0, -1)
    return next((length for length in lengths if words[high - length : high] in cues), 0)

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
# "cannot be completely excluded", "not ruled out" and the like leave open what they are about, which is no
# denial; "effusion is seen and pneumothorax is absent" denies a part of what stands before.
_DOUBTED = frozenset({"not", "cannot", "never", "longer", "is", "are"})
# What stands behind is not denied: "no effusion but pneumothorax".
_CONTRASTS = frozenset({"but", "however", "although", "though", "except", "yet"})
# "no longer", "not only": the word denies something else.
_OTHERWISE = frozenset({"longer", "only", "otherwise", "necessarily", "certain", "more"})
_ARTICLES = frozenset({"a", "an", "the", "any"})
_RELATIVES = frozenset({"that", "which"})
_NORMALITY = {"normal": True, "unremarkable": True, "abnormal": False}
# Of "normal pressure hydrocephalus" the first word says of a disease which one it is.
_NAMES_WITH_NORMAL = frozenset({"pressure", "tension", "variant", "variants"})
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
    carrier, finding, negated = ((), *_unwrapped(words)) if within is None else within
    if negated and not _CONTRASTS.isdisjoint(finding):
        return ReadLabel(canonical)
    if carrier or negated:
        # "not normal" and "radiograph with a normal heart", where the word is the whole statement.
        normality = _normality(finding) if finding[:1] != ("abnormal",) else None
    if normality is not None:
        return ReadLabel(normality.finding, " ".join(carrier), negated != normality.negated, True)
    return ReadLabel(" ".join(finding), " ".join(carrier), negated)


def _normality(words: Words) -> ReadLabel | None:
    """ "normal chest", "heart size is normal", "an abnormal mammogram"."""
    words = words[1:] if len(words) > 1 and words[0] in _ARTICLES else words
    if words and words[0] in _NORMALITY and _NAMES_WITH_NORMAL.isdisjoint(words[1:2]):
        return ReadLabel(" ".join(words[1:]), negated=_NORMALITY[words[0]], is_normality=True)
    if words[-2:-1] in (("is",), ("are",)) and words[-1] in _NORMALITY:
        about = words[:-3] if words[-3:-2] and words[-3] in _RELATIVES else words[:-2]
        return ReadLabel(" ".join(about), negated=_NORMALITY[words[-1]], is_normality=True)
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
    doubted = next((place for place in range(low, high) if words[place] in _DOUBTED), high)
    while length := _at_end(words, low, high, _ENDINGS):
        if doubted < high - length:
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

"""A draft as Markdown (CommonMark 0.31, with GitHub's tables); the only format of a rejected draft."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from medsiglip.medgemma.exports import wording
from medsiglip.medgemma.exports.passages import Passage, passages, shown
from medsiglip.medgemma.exports.sections import HEADING
from medsiglip.medgemma.exports.standing import Standing, standing
from medsiglip.medgemma.exports.study_facts import StudyFacts
from medsiglip.medgemma.records import Draft

# GitHub also makes links of bare addresses: of `://`, `www.` and `@` (GFM 6.9).
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&$@]|:(?=//)|(?<=www)\.)", re.IGNORECASE)
# What makes a list, a heading or a rule of a line, where it begins one (CommonMark 4 and 5).
_LINE_START = re.compile(r"^(?:([-+=])|(\d{1,9})([.)]))", re.MULTILINE)
# A line that is a name alone, such as `FINDINGS:`, above others.
_HEADING = re.compile(rf"^({HEADING})\n(?=\s*\S)", re.MULTILINE)
_INDENT = re.compile(r"^[ \t]+|(?<![ \t])[ \t]++$", re.MULTILINE)


def markdown(draft: Draft, facts: StudyFacts) -> str:
    """The whole draft as Markdown text; what a generator wrote is escaped, so that it stays text."""
    stands = standing(draft)
    parts = [f"# {wording.title(stands)}"]
    parts += [f"**{_inline(warning)}**" for warning in (stands.mark, stands.incomplete) if warning]
    parts += [
        escaped(shown(stands.sentence)),
        _table(("Study", ""), wording.study_rows(draft, facts)),
        "## Text",
        _prose(passages(draft)),
    ]
    for heading, sentences in wording.concern_lists(draft, stands):
        parts += [f"## {heading}", *(escaped(one) for one in sentences)]
    parts += _evidence(draft, stands)
    if stands.mark:
        parts.append(f"**{stands.mark}**")
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, line for line; spaces at the ends of lines go."""
    text = _inline(_INDENT.sub("", text))
    return _LINE_START.sub(lambda m: f"\\{m[1]}" if m[1] else f"{m[2]}\\{m[3]}", text)


def _inline(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


def _prose(found: Sequence[Passage]) -> str:
    """Paragraphs of the text; a mark follows its sentence, in bold. Line feeds are kept."""
    # The marks go in after escaping, which must see whole lines to know where they begin.
    slots: list[str] = []
    text = ""
    for passage in found:
        if text.endswith("\0") and not passage.text[:1].isspace():
            text += " "  # bold ends only before a space or punctuation
        text += passage.text
        if passage.mark:
            end = len(text.rstrip())
            text = f"{text[:end]} \0{text[end:]}"
            slots.append(f"**{_inline(passage.mark)}**")
    text = _HEADING.sub(r"\n### \1\n\n", escaped(text).strip() + "\n")
    text = re.sub(r"(?<!\n)\n(?!\n)", "\\\\\n", re.sub(r"\n{2,}", "\n\n", text.strip()))
    marks = iter(slots)
    return re.sub("\0", lambda _: next(marks), text) or "(The draft holds no text.)"


def _evidence(draft: Draft, stands: Standing) -> list[str]:
    findings = _table(wording.FINDING_COLUMNS, wording.finding_rows(draft))
    images = [
        (
            wording.image_name(draft, image.image_id),
            image.series_instance_uid,
            image.sop_instance_uid,
            str(image.frame + 1),
        )
        for image in draft.evidence.images
    ]
    similar = wording.similar_rows(draft)
    parts = ["## Scores of findings", findings or "No finding was scored.", wording.SCORES_NOTE]
    if images:
        parts += ["## Images", _table(("Picture", "Series", "Instance", "Frame"), images)]
    if similar:
        parts += ["## Similar cases of other patients", _table(("Case", "Cosine", "Labels"), similar)]
    return [*parts, "## Provenance", _table(("", ""), wording.provenance_rows(draft, stands))]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [" | ".join(_inline(" ".join(cell.split())) for cell in row) for row in rows]
    if not lines:
        return ""
    return "\n".join(f"| {line} |" for line in (" | ".join(head), " | ".join("---" for _ in head), *lines))

"""A draft as pages to read: text with its marks, driving images, scores, similar cases, provenance."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from medsiglip.medgemma.exports import wording
from medsiglip.medgemma.exports.fonts import fonts_for
from medsiglip.medgemma.exports.page_pictures import (
    MAX_PICTURES,
    PictureSource,
    SimilarPictureSource,
    pixels_of,
)
from medsiglip.medgemma.exports.passages import Passage, passages, shown
from medsiglip.medgemma.exports.sections import HEADING
from medsiglip.medgemma.exports.standing import Standing, standing
from medsiglip.medgemma.exports.study_facts import StudyFacts
from medsiglip.medgemma.records import Draft

if TYPE_CHECKING:
    from medsiglip.medgemma.exports.pages import Pages

STAND_INS_NOTE = "Signs that no font of this computer has are written as their Unicode codes, [U+…]."
_WIDTHS = (30, 14, 11, 19, 23, 23)
_HEADING = re.compile(rf"{HEADING}\s*")


def pdf_pages(
    draft: Draft,
    facts: StudyFacts,
    images: PictureSource | None = None,
    similar: SimilarPictureSource | None = None,
) -> bytes:
    """The draft as a tagged PDF file, the same bytes for the same draft; without `images` it has no pictures,
    without `similar` none of similar cases.

    At most `MAX_PICTURES` images are shown, those that drove the most probable findings; the pages say which
    of them are previews, and which are missing because nothing is left of their files. Raises `DraftError`
    `font-missing` where the text holds a script that no font at hand can show.
    """
    from medsiglip.medgemma.exports.pages import RED, Pages

    stands = standing(draft)
    found = passages(draft)
    fonts = fonts_for(_everything(draft, facts, stands, found))
    title = wording.title(stands)
    full_title = f"{title}: {stands.mark}" if stands.mark else title
    document = Pages(
        full_title, stands, f"{'Report' if stands.accepted else 'Draft'} {shown(draft.id)}", fonts
    )
    document.add_page()
    document.heading(title, 1)
    for warning in filter(None, (stands.mark, stands.incomplete)):
        document.paragraph(warning, style="B", colour=RED)
    document.paragraph(shown(stands.sentence))
    document.pairs(wording.study_rows(draft, facts))
    document.heading("Text")
    if fonts.stand_ins:
        document.note(STAND_INS_NOTE)
    _prose(document, found)
    for heading, sentences in wording.concern_lists(draft, stands):
        document.heading(heading)
        document.bullets(sentences)
    _scores(document, draft)
    _pictures(document, draft, images)
    _similar_cases(document, draft, similar)
    document.heading("Provenance")
    document.pairs(wording.provenance_rows(draft, stands))
    return document.written()


def _everything(draft: Draft, facts: StudyFacts, stands: Standing, found: Sequence[Passage]) -> str:
    rows: list[Sequence[str]] = [
        *wording.study_rows(draft, facts),
        *wording.finding_rows(draft),
        *wording.similar_rows(draft),
        *wording.provenance_rows(draft, stands),
        *(sentences for _, sentences in wording.concern_lists(draft, stands)),
        *((passage.text, passage.mark or "") for passage in found),
        (stands.sentence, stands.mark or "", stands.incomplete or "", draft.id),
    ]
    return "".join("".join(row) for row in rows)


def _prose(document: Pages, found: Sequence[Passage]) -> None:
    """The text by its lines, each a paragraph or, if it is a name alone such as `FINDINGS:`, a heading."""
    paragraphs = list(_paragraphs(found or (Passage("(The draft holds no text.)"),)))
    for number, passages_of_line in enumerate(paragraphs):
        text = "".join(passage.text for passage in passages_of_line)
        if not text.strip():
            document.ln(2)
        elif _HEADING.fullmatch(text) and number + 1 < len(paragraphs):
            document.heading(text.strip(), 3)
        else:
            _paragraph(document, passages_of_line)
    document.ln(3)


def _paragraphs(found: Sequence[Passage]) -> Iterator[list[Passage]]:
    """The passages of each line; a mark stands behind the last words of its passage."""
    line: list[Passage] = []
    for passage in found:
        words = passage.text.rstrip()
        parts = [*words.split("\n")]
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            line.append(Passage(part, passage.mark if last else None, passage.contradicted))
            if not last:
                yield line
                line = []
        rest = passage.text[len(words) :].split("\n")
        for _ in rest[1:]:
            yield line
            line = []
        if rest[-1]:
            line.append(Passage(rest[-1]))
    yield line


def _paragraph(document: Pages, line: Sequence[Passage]) -> None:
    """What the scores contradict is red and underlined; every mark stands in bold behind its sentence."""
    from medsiglip.medgemma.exports.pages import BLACK, RED, is_right_to_left

    text = "".join(f"{p.text} {p.mark}" if p.mark else p.text for p in line)
    if is_right_to_left(text):
        red = any(passage.contradicted for passage in line)
        document.paragraph("".join(passage.text for passage in line), 10, colour=RED if red else BLACK)
        for mark in filter(None, (passage.mark for passage in line)):
            document.paragraph(mark, 8.5, "B", RED)
        return
    marked = False
    with document.content("P", text):
        for passage in line:
            if marked and not passage.text[:1].isspace():
                document.write(5.5, " ")
            marked = bool(passage.mark)
            document.pen("U" if passage.contradicted else "", 10)
            document.set_text_color(*(RED if passage.contradicted else BLACK))
            document.write(5.5, passage.text)
            if passage.mark:
                document.pen("B", 8.5)
                document.set_text_color(*RED)
                document.write(5.5, f" {passage.mark}")
        document.set_text_color(*BLACK)
    document.pen("", 10)
    document.ln(6)


def _scores(document: Pages, draft: Draft) -> None:
    document.heading("Scores of findings")
    rows = wording.finding_rows(draft)
    if rows:
        document.grid([wording.FINDING_COLUMNS, *rows], _WIDTHS)
    else:
        document.paragraph("No finding was scored.")
    document.note(wording.SCORES_NOTE)


def _pictures(document: Pages, draft: Draft, images: PictureSource | None) -> None:
    """Pictures in pairs, each with the findings that it drove; those of the most probable findings first."""
    driven = wording.driven_by_image(draft)
    driving = [image for image in draft.evidence.images if image.image_id in driven]
    ranked = sorted(driving, key=lambda image: -driven[image.image_id][0].finding.probability)
    shown_images = ranked[:MAX_PICTURES]
    if not shown_images or images is None:
        return
    pictures = images.pictures([image.image_id for image in shown_images])
    cells = [
        (pixels_of(picture), wording.picture_caption(draft, image, driven[image.image_id], picture))
        for picture, image in zip(pictures, shown_images, strict=True)
    ]
    there = [(pixels, text) for pixels, text in cells if pixels is not None]
    keep = document.figures_height(there[:2]) + 8 if there else 12
    document.heading("Images that drove the findings", keep=keep)
    left_out = len(ranked) - len(shown_images)
    more = f" {left_out} more images drove findings." if left_out else ""
    document.note(wording.PICTURES_NOTE + more)
    for start in range(0, len(there), 2):
        document.figures(there[start : start + 2])
    for pixels, text in cells:
        if pixels is None:
            document.paragraph(text)


def _similar_cases(document: Pages, draft: Draft, source: SimilarPictureSource | None) -> None:
    """The table of similar cases, and small pictures of them, four across the page."""
    rows = wording.similar_rows(draft)
    if not rows:
        return
    document.heading("Similar cases of other patients")
    document.grid([("Case", "Cosine", "Labels"), *rows], (12, 16, 72))
    if source is None:
        return
    shown_cases = draft.evidence.similar[:MAX_PICTURES]
    pictures = source.similar(shown_cases)
    captions = wording.similar_captions(shown_cases, pictures)
    cells = [(pixels_of(one), text) for one, text in zip(pictures, captions, strict=True)]
    there = [(pixels, text) for pixels, text in cells if pixels is not None]
    for start in range(0, len(there), 4):
        document.figures(there[start : start + 4], 4)
    for pixels, text in cells:
        if pixels is None:
            document.note(text)
    if rest := len(rows) - len(shown_cases):
        document.note(wording.more_cases(rest))

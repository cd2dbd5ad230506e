"""A draft as one page of HTML with its pictures in it: it makes no request and runs no script."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from medsiglip.medgemma.exports import wording
from medsiglip.medgemma.exports.page_pictures import (
    MAX_PICTURES,
    PictureSource,
    SimilarPictureSource,
    pixels_of,
)
from medsiglip.medgemma.exports.passages import Passage, passages, shown
from medsiglip.medgemma.exports.standing import Standing, standing
from medsiglip.medgemma.exports.study_facts import StudyFacts
from medsiglip.medgemma.records import Draft

_PICTURE_PIXELS = 512
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --faint: #5a6472; --rule: #d5dae1;
  --alarm: #a80000; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --paper: #14171b; --faint: #a3adba;
  --rule: #363d47; --alarm: #ff9d9d; } }
body { margin: 0 auto; max-width: 56rem; padding: 1.5rem 1.25rem 4rem; color: var(--ink);
  background: var(--paper); font: 16px/1.55 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem } h2 { font-size: 1.15rem; margin: 2rem 0 .6rem }
table { border-collapse: collapse; font-size: .92rem; width: 100% }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--rule);
  vertical-align: top }
.mark, .contradicted { color: var(--alarm) } .mark { font-weight: bold }
.contradicted { text-decoration: underline } .quiet, figcaption { color: var(--faint); font-size: .88rem }
.text { white-space: pre-wrap } .pictures { display: flex; flex-wrap: wrap; gap: 1rem; margin-top: 1rem }
figure { margin: 0; max-width: 24rem } .small figure { max-width: 12rem }
img { max-width: 100%; height: auto; background: #000 }
@media print { .pictures { break-inside: avoid } }
"""


def html_page(
    draft: Draft,
    facts: StudyFacts,
    images: PictureSource | None = None,
    similar: SimilarPictureSource | None = None,
) -> str:
    """The whole draft as a page, with at most `MAX_PICTURES` pictures of the study, those that drove the most
    probable findings, and one each of as many similar cases; what a generator wrote is escaped, so that it
    stays text.
    """
    stands = standing(draft)
    title = wording.title(stands)
    full_title = f"{title}: {stands.mark}" if stands.mark else title
    parts = [f"<h1>{escape(title)}</h1>"]
    parts += [f'<p class="mark">{escape(one)}</p>' for one in (stands.mark, stands.incomplete) if one]
    parts += [
        f"<p>{escape(shown(stands.sentence))}</p>",
        _table(("Study", ""), wording.study_rows(draft, facts)),
        "<h2>Text</h2>",
        _prose(passages(draft)),
        *_concerns(draft, stands),
        "<h2>Scores of findings</h2>",
        _table(wording.FINDING_COLUMNS, wording.finding_rows(draft)) or "<p>No finding was scored.</p>",
        f'<p class="quiet">{escape(wording.SCORES_NOTE)}</p>',
        *_pictures(draft, images),
        *_similar_cases(draft, similar),
        "<h2>Provenance</h2>",
        _table(("", ""), wording.provenance_rows(draft, stands)),
    ]
    parts += [f'<p class="mark">{escape(stands.mark)}</p>'] if stands.mark else []
    head = f'<meta charset="utf-8"><title>{escape(full_title)}</title><style>{_STYLE}</style>'
    meta = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    body = "\n".join(part for part in parts if part)
    start = f'<!doctype html>\n<html lang="en"><head>{head}{meta}</head>'
    return f"{start}\n<body><main>\n{body}\n</main></body></html>\n"


def _prose(found: Sequence[Passage]) -> str:
    """The text by its lines; what the scores contradict is marked, and marks stand behind their sentences."""
    parts = []
    for passage in found or (Passage("(The draft holds no text.)"),):
        text = escape(passage.text)
        words = text.rstrip()
        if passage.contradicted:
            words = f'<span class="contradicted">{words}</span>'
        mark = f' <strong class="mark">{escape(passage.mark)}</strong>' if passage.mark else ""
        parts.append(f"{words}{mark}{text[len(text.rstrip()) :]}")
    return f'<div class="text" dir="auto">{"".join(parts).strip()}</div>'


def _concerns(draft: Draft, stands: Standing) -> list[str]:
    parts = []
    for heading, sentences in wording.concern_lists(draft, stands):
        items = "".join(f"<li>{escape(one)}</li>" for one in sentences)
        parts.append(f"<h2>{escape(heading)}</h2><ul>{items}</ul>")
    return parts


def _pictures(draft: Draft, images: PictureSource | None) -> list[str]:
    """Pictures with the findings that they drove; those of the most probable findings first."""
    driven = wording.driven_by_image(draft)
    driving = [image for image in draft.evidence.images if image.image_id in driven]
    ranked = sorted(driving, key=lambda image: -driven[image.image_id][0].finding.probability)
    chosen = ranked[:MAX_PICTURES]
    if not chosen or images is None:
        return []
    found = images.pictures([image.image_id for image in chosen])
    cells = [
        (pixels_of(picture), wording.picture_caption(draft, image, driven[image.image_id], picture))
        for picture, image in zip(found, chosen, strict=True)
    ]
    left_out = len(ranked) - len(chosen)
    more = f" {left_out} more images drove findings." if left_out else ""
    note = f'<p class="quiet">{escape(wording.PICTURES_NOTE + more)}</p>'
    return ["<h2>Images that drove the findings</h2>", note, _figures(cells, "pictures")]


def _similar_cases(draft: Draft, source: SimilarPictureSource | None) -> list[str]:
    rows = wording.similar_rows(draft)
    if not rows:
        return []
    parts = [
        "<h2>Similar cases of other patients</h2>",
        _table(("Case", "Cosine", "Labels"), rows),
    ]
    if source is not None:
        cases = draft.evidence.similar[:MAX_PICTURES]
        found = source.similar(cases)
        captions = wording.similar_captions(cases, found)
        cells = [(pixels_of(one), text) for one, text in zip(found, captions, strict=True)]
        parts.append(_figures(cells, "pictures small"))
        if rest := len(rows) - len(cases):
            parts.append(f'<p class="quiet">{escape(wording.more_cases(rest))}</p>')
    return parts


def _figures(cells: Iterable[tuple[NDArray[np.uint8] | None, str]], kind: str) -> str:
    figures = []
    for pixels, text in cells:
        caption = f"<figcaption>{escape(text)}</figcaption>"
        if pixels is None:
            figures.append(f"<figure>{caption}</figure>")
        else:
            data = base64.b64encode(_jpeg(pixels)).decode("ascii")
            picture = f'<img alt="{escape(text)}" src="data:image/jpeg;base64,{data}">'
            figures.append(f"<figure>{picture}{caption}</figure>")
    return f'<div class="{kind}">{"".join(figures)}</div>'


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    picture = Image.fromarray(pixels)
    picture.thumbnail((_PICTURE_PIXELS, _PICTURE_PIXELS))
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=88)
    return written.getvalue()


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    if not lines:
        return ""
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    above = f"<thead><tr>{names}</tr></thead>" if any(head) else ""
    return f"<table>{above}<tbody>{''.join(f'<tr>{line}</tr>' for line in lines)}</tbody></table>"

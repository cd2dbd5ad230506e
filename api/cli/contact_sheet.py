"""A contact sheet: rows of pictures, a query followed by its hits, with scores and labels."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

_TILE = 224
_GAP = 12
_CAPTION = 58
_HEADING = 34
_PAPER, _INK, _FAINT, _QUERY = "#ffffff", "#1a1a1a", "#666666", "#0b66c3"


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture, display values uint8 [H, W] or [H, W, 3], or a query in words, and the lines below it."""

    shown: NDArray[np.uint8] | str
    caption: tuple[str, ...]
    is_query: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A question in words and its tiles."""

    heading: str
    tiles: tuple[Tile, ...]


def write_contact_sheet(rows: Sequence[Row], path: Path) -> None:
    """Draw the rows and write them as a PNG file."""
    from PIL import Image, ImageDraw

    columns = max(len(row.tiles) for row in rows)
    row_height = _HEADING + _TILE + _CAPTION + _GAP
    sheet = Image.new("RGB", (_GAP + columns * (_TILE + _GAP), _GAP + len(rows) * row_height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, row in enumerate(rows):
        top = _GAP + i * row_height
        draw.text(
            (_GAP, top + 6), _fitted(draw, row.heading, sheet.width - 2 * _GAP, 17), _INK, font=_font(17)
        )
        for j, tile in enumerate(row.tiles):
            _draw_tile(sheet, draw, tile, _GAP + j * (_TILE + _GAP), top + _HEADING)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def _draw_tile(sheet: Image, draw: ImageDraw, tile: Tile, left: int, top: int) -> None:
    from PIL import Image, ImageOps

    frame = (left, top, left + _TILE - 1, top + _TILE - 1)
    if isinstance(tile.shown, str):
        draw.rectangle(frame, fill="#eef4fb")
        words = "\n".join(textwrap.wrap(tile.shown, width=24))
        draw.multiline_text((left + 14, top + 14), words, _INK, font=_font(16), spacing=6)
    else:
        draw.rectangle(frame, fill="#000000")
        picture = ImageOps.contain(
            Image.fromarray(tile.shown).convert("RGB"), (_TILE, _TILE), Image.Resampling.LANCZOS
        )
        sheet.paste(picture, (left + (_TILE - picture.width) // 2, top + (_TILE - picture.height) // 2))
    if tile.is_query:
        draw.rectangle((left - 3, top - 3, left + _TILE + 2, top + _TILE + 2), outline=_QUERY, width=3)
    for i, line in enumerate(tile.caption[:3]):
        colour = _INK if i == 0 else _FAINT
        draw.text((left, top + _TILE + 4 + i * 17), _fitted(draw, line, _TILE, 14), colour, font=_font(14))


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _fitted(draw: ImageDraw, text: str, width: int, size: int) -> str:
    font = _font(size)
    if draw.textlength(text, font=font) <= width:
        return text
    while text and draw.textlength(text + "…", font=font) > width:
        text = text[:-1]
    return text.rstrip() + "…"

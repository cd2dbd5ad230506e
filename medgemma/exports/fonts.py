"""The fonts of the pages: DejaVu Sans, and for other scripts those that the system has."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from medsiglip.medgemma.errors import DraftError

# Where systems keep fonts (freedesktop's fontconfig, macOS, Windows).
FONT_FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/Library/Fonts",
    "/System/Library/Fonts",
    "C:/Windows/Fonts",
)
_CJK = frozenset({"HAN", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"})
_NO_SCRIPT = frozenset({"COMMON", "INHERITED", "UNKNOWN"})
_FORMATS_OF_ANY_SCRIPT = "a structured report, FHIR or Markdown, which hold every script"
_CJK_FONTS = (
    "NotoSansCJK-Regular",
    "NotoSansCJKsc-Regular",
    "NotoSansCJKjp-Regular",
    "DroidSansFallbackFull",
)
_SYMBOL_FONTS = ("NotoSansSymbols-Regular", "NotoSansSymbols2-Regular", "NotoSansMath-Regular", "Symbola")
_OTHER_FONTS: Mapping[str, tuple[str, ...]] = {
    "ARABIC": ("NotoNaskhArabic-Regular",),
    "DEVANAGARI": ("Lohit-Devanagari",),
    "BENGALI": ("Lohit-Bengali",),
    "TAMIL": ("Lohit-Tamil",),
    "THAI": ("Loma", "Garuda"),
    "TIBETAN": ("NotoSerifTibetan-Regular",),
}
# Scripts whose letters stand side by side as they are, from left to right.
_UNSHAPED = (
    _CJK
    | _NO_SCRIPT
    | {"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "GEORGIAN", "ETHIOPIC", "CHEROKEE", "YI", "BRAILLE"}
)


@dataclass(frozen=True, slots=True)
class Fonts:
    """What pages need for a text: `files` beside DejaVu Sans, whether letters are to be `shaped`, that is
    joined, placed and turned from right to left, and the `stand_ins` of signs that no font has.
    """

    files: tuple[Path, ...] = ()
    shaped: bool = False
    stand_ins: Mapping[int, str] | None = None


def fonts_for(text: str) -> Fonts:
    """The fonts that together have every character of `text`.

    A sign of no script that no font has, such as a new emoji, is replaced by its code: `[U+1F9EC]`. Raises
    `DraftError` `font-missing` where a script would be boxes or unjoined letters; it names scripts, never
    what is written in them.
    """
    from fpdf.unicode_script import get_unicode_script

    scripts: dict[str, set[int]] = {}
    for character in set(text):
        if not character.isspace():
            name = get_unicode_script(character).name
            scripts.setdefault(name, set()).add(ord(character))
    shaped = not _UNSHAPED.issuperset(scripts)
    if shaped and not find_spec("uharfbuzz"):
        raise _without_shaping(set(scripts) - _UNSHAPED)
    regular, bold = (_characters(dejavu(file)) for file in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"))
    lacking = {name: codes - (regular & bold) for name, codes in scripts.items()}
    present = _present_fonts() if any(lacking.values()) else {}
    chosen: dict[Path, frozenset[int]] = {}
    missing = [
        name
        for name in sorted(lacking.keys() - _NO_SCRIPT)
        if lacking[name] and not _choose(chosen, lacking[name], _candidates(name, present))
    ]
    if missing:
        raise _without_fonts(missing)
    stand_ins = {}
    signs = set().union(*(lacking.get(name, ()) for name in _NO_SCRIPT))
    for code in sorted(signs):
        files = [present[stem] for stem in _stems(*_SYMBOL_FONTS, *_CJK_FONTS) if stem in present]
        if not _choose(chosen, {code}, files):
            stand_ins[code] = f"[U+{code:04X}]"
    return Fonts(tuple(chosen), shaped, stand_ins)


def dejavu(file: str) -> Path:
    """A font of DejaVu, which comes with matplotlib; Latin, Greek, Cyrillic, IPA and most signs."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / file


def _choose(chosen: dict[Path, frozenset[int]], codes: set[int], candidates: Iterable[Path]) -> bool:
    """Add the first candidate that has all of `codes` to the chosen fonts, if none of those has."""
    if any(codes <= known for known in chosen.values()):
        return True
    for file in candidates:
        known = _characters(file)
        if codes <= known:
            chosen[file] = known
            return True
    return False


def _candidates(script: str, present: Mapping[str, Path]) -> list[Path]:
    plain = script.replace("_", "")
    names = _CJK_FONTS if script in _CJK else _OTHER_FONTS.get(script, ())
    stems = _stems(f"NotoSans{plain}-Regular", f"NotoSerif{plain}-Regular", *names)
    return [*(present[stem] for stem in stems if stem in present), dejavu("DejaVuSans.ttf")]


def _stems(*names: str) -> list[str]:
    return [name.lower() for name in names]


def _present_fonts() -> dict[str, Path]:
    """Font files of the system by their names in lower case without ending."""
    found: dict[str, Path] = {}
    for folder in FONT_FOLDERS:
        for root, _, files in os.walk(Path(folder).expanduser()):
            for file in files:
                if file.lower().endswith((".ttf", ".otf", ".ttc")):
                    found.setdefault(file.rpartition(".")[0].lower(), Path(root, file))
    return found


def _characters(file: Path) -> frozenset[int]:
    """The code points that a font has glyphs for; none where it cannot be read."""
    try:
        found = file.stat()
        return _characters_of(file, found.st_mtime_ns, found.st_size)
    except OSError:
        return frozenset()


@lru_cache(maxsize=16)
def _characters_of(file: Path, changed: int, size: int) -> frozenset[int]:
    """Those of a file as it was at that time: it is read once for all exports."""
    from fontTools.ttLib import TTFont, TTLibError

    try:
        with file.open("rb") as stream, TTFont(stream, fontNumber=0, lazy=True) as font:
            return frozenset(font.getBestCmap() or ())
    except TTLibError:
        return frozenset()


def _without_fonts(scripts: list[str]) -> DraftError:
    packages = sorted({"fonts-noto-cjk" if name in _CJK else "fonts-noto-core" for name in scripts})
    return DraftError(
        "font-missing",
        f"No font of this computer has all letters of {_words(scripts)}, which the draft holds. "
        f"Install Debian's {' and '.join(packages)}, or export it as {_FORMATS_OF_ANY_SCRIPT}.",
    )


def _without_shaping(scripts: set[str]) -> DraftError:
    return DraftError(
        "font-missing",
        f"Letters of {_words(sorted(scripts))}, which the draft holds, are joined or turned around by a "
        "library that is not installed. Run pip install 'medsiglip[scripts]', or export it as "
        f"{_FORMATS_OF_ANY_SCRIPT}.",
    )


def _words(scripts: list[str]) -> str:
    return ", ".join(name.replace("_", " ").title() for name in scripts)

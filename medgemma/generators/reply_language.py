"""Whether a reply is in another language than English as a whole, by its script and its commonest words."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W\d_]+")
_FEWEST_WORDS = 4
_SHARE = 0.5
# The commonest words of each language that are no words of English reports; those that are words of both
# ("in", "an", "die", "no", "a", "es", "son") are left out.
_WORDS: dict[str, str] = {
    "English": "the is are no of and with without there was has have seen normal within not to for this that"
    " which at by from or may be left right both clear unremarkable evidence",
    "German": "der das und ist nicht kein keine keinen keiner mit ohne ein eine einer eines im am zum zur bei"
    " auf von vom des dem den sind wird werden nachweis beidseits unauffällig auch nach",
    "French": "le la les des du et est un une pas dans avec sans sur au aux il ce cette par pour sont"
    " ni aucun"
    " aucune droit gauche",
    "Spanish": "el los las del y con sin una uno por para se observa observan hay está están ni derecho"
    " izquierdo derecha izquierda al lo que",
    "Portuguese": "o os as do da dos das e com sem uma não há à ao em na nos nas são está direito esquerdo"
    " que para",
    "Italian": "il lo gli della dello degli delle dei e con senza una di non si sono è nel nella al alla dal"
    " destro sinistro",
    "Dutch": "het een van niet geen met zonder zijn wordt worden bij naar ook er aan op de en",
    "Polish": "nie jest się w z na bez oraz i do są po prawej lewej zmian",
    "Turkish": "ve bir bu ile için yok değil olarak sağ sol da izlenmedi izlendi normaldir",
    "Swedish": "och är inte ingen inga med utan ett på av för till som det den höger vänster",
    "Czech": "je není bez na se v s jsou a vpravo vlevo nejsou",
    "Romanian": "și nu este cu fără în la pe din sunt drept stâng",
    "Indonesian": "dan tidak ada dengan tanpa yang di pada kanan kiri tampak",
    "Vietnamese": "không có và là của trong bên phải trái",
}
_COMMON = {language: frozenset(text.split()) for language, text in _WORDS.items()}


def other_language(text: str) -> str | None:
    """The language or script of a text of which no part is English; None where it is English, mixed, or too
    short to tell.

    A script other than Latin counts with one English word in ten at most; a language in Latin script with
    more of its commonest words than three times those of English.
    """
    words = [word.casefold() for word in _WORD.findall(unicodedata.normalize("NFC", text))]
    letters = sum(map(len, words))
    latin = [word for word in words if _is_latin(word)]
    foreign = letters - sum(map(len, latin))
    if letters and foreign > _SHARE * letters:
        english = sum(word in _COMMON["English"] for word in latin)
        return None if english > 1 and len(latin) >= _FEWEST_WORDS else _script(words)
    if len(words) < _FEWEST_WORDS:
        return None
    counts = {language: sum(word in common for word in words) for language, common in _COMMON.items()}
    english = counts.pop("English")
    best = max(counts, key=lambda language: counts[language])
    if counts[best] >= 2 and counts[best] > 3 * english and counts[best] >= len(words) / 12:
        return best
    return None


def _is_latin(word: str) -> bool:
    return all(ord(character) < 0x250 or 0x1E00 <= ord(character) < 0x1F00 for character in word)


def _script(words: list[str]) -> str:
    """The first word of the Unicode name of the commonest letters, such as `Cyrillic`."""
    for word in words:
        for character in word:
            if not _is_latin(character):
                return unicodedata.name(character, "another script").split()[0].capitalize()
    return "another script"

"""The language of a text, by its script and its function words: sure, or not said."""

from __future__ import annotations

import unicodedata
from collections import Counter

from evoagent_backtranslation.text import words

ENGLISH = "English"

_FUNCTION_WORDS = {
    ENGLISH: "the of and to a in is that it for on are with as this be by from or an what how not your you",
    "Spanish": "el la los las de y que en un una es por con para del se no su al lo como más está muy",
    "French": "le la les des et que est un une dans pour pas sur avec ce cette qui il elle vous nous je du au aux",
    "German": "der die das und ist ein eine nicht zu mit den dem auf für von im sich ich wir sie es auch wie",
    "Italian": "il lo gli le di e che è un una per non con del della sono come ho ma nel questo anche più",
    "Portuguese": "o os as de e que um uma é do da em para com não se por dos das no na mais como eu está",
}
_SETS = {name: frozenset(text.split()) for name, text in _FUNCTION_WORDS.items()}
_SCRIPTS = {"HANGUL": "Korean", "GREEK": "Greek", "HEBREW": "Hebrew", "THAI": "Thai"}
_LEAST = 6  # words that make a language recognisable


def language_of(text: str) -> str | None:
    """The name of the language of `text` in English; None where that is not sure."""
    text = text[:4000]
    letters = Counter(_script(char) for char in text if char.isalpha())
    total = sum(letters.values())
    if not total:
        return None
    if letters["HIRAGANA"] + letters["KATAKANA"] > 0.1 * total:
        return "Japanese"
    for script, name in {**_SCRIPTS, "CJK": "Chinese"}.items():
        if letters[script] > 0.7 * total:
            return name
    if letters["LATIN"] < 0.9 * total:
        return None
    found = words(text)
    counts = sorted(((sum(word in known for word in found), name) for name, known in _SETS.items()), reverse=True)
    (best, name), (second, _) = counts[0], counts[1]
    sure = len(found) >= _LEAST and best >= 3 and best >= 0.2 * len(found) and best >= 1.5 * second
    return name if sure else None


def is_foreign(text: str) -> bool:
    """Whether `text` is surely not English: then an English sentence after it would read as a mistake."""
    letters = [char for char in text[:4000] if char.isalpha()]
    if sum(_script(char) == "LATIN" for char in letters) < 0.6 * len(letters):
        return True
    return language_of(text) not in (None, ENGLISH)


def _script(char: str) -> str:
    return unicodedata.name(char, "UNKNOWN").split(" ", 1)[0]

"""Rule against instructions that slip into another script or language."""

from __future__ import annotations

from collections import Counter

from pydantic import Field

from evoagent.config.model import Strict
from evoagent.models.roles import Models
from evoagent.records import KEEP, Candidate, Verdict
from evoagent.rules.base import Rule
from evoagent.text import scripts, words

FUNCTION_WORDS = {
    "English": "the of and to in is that for it with as on be at by this are from or an which what how you your a i my",
    "Spanish": "el la los las de del que y en un una por con para se es su al lo como más pero cómo qué sus este",
    "French": "le la les des du et en un une que qui dans pour pas sur est avec ce il au vous aux sans ou pourquoi",
    "German": "der die das und in den von zu mit sich des auf für ist im dem nicht ein eine als auch es an wie",
    "Italian": "il lo la gli le di del che e in un una per con non è si al come più ma della dei sono nel",
    "Portuguese": "o a os as do da que e em um uma para com não é se na no por mais como mas dos ao sua",
    "Dutch": "de het een en van in is dat op te met voor zijn niet aan er om ook als bij wat hoe je uit",
}
"""Frequent words of languages in Latin letters, for telling them apart without a model."""

_SHARED = Counter(word for text in FUNCTION_WORDS.values() for word in text.split())
_LANGUAGES = {
    language: frozenset(word for word in text.split() if _SHARED[word] == 1)
    for language, text in FUNCTION_WORDS.items()
}
_LEAST_WORDS = 6
_LEAST_SHARE = 0.15


class LanguageConfig(Strict):
    """Parameters of `language`."""

    max_foreign: float = Field(
        0.3, ge=0, le=1, description="Share of letters in a script that the parent does not use."
    )
    same_language: bool = Field(
        True, description="Also reject another language in Latin letters than the parent's, by its function words."
    )


class Language(Rule):
    """Rejects instructions in a script, or by their function words in a language, that is not their parent's."""

    def __init__(self, config: LanguageConfig | None = None) -> None:
        self.config = config or LanguageConfig()

    async def judge(self, candidate: Candidate, models: Models) -> Verdict:
        """The figure is the share of letters in a foreign script, or of a foreign language's function words."""
        if candidate.parent.is_document:
            return KEEP
        known = scripts(candidate.parent.prompt_text)
        found = scripts(candidate.instruction)
        letters = found.total()
        if not letters or not known:
            return KEEP
        foreign = {script: count for script, count in found.items() if script not in known}
        figure, limit = sum(foreign.values()) / letters, self.config.max_foreign
        if figure > limit:
            return Verdict(False, "language", figure, limit, f"letters in {', '.join(sorted(foreign)).lower()}")
        if self.config.same_language:
            theirs = language_of(candidate.instruction)
            # A parent may be too short to be sure of, but one word of the same language acquits.
            parent, _ = _counts(candidate.parent.prompt_text)
            if theirs and not parent[theirs] and parent.total():
                counts, total = _counts(candidate.instruction)
                share = counts[theirs] / total
                return Verdict(False, "language", share, _LEAST_SHARE, f"{theirs}, which the parent is not")
        return KEEP


def language_of(text: str) -> str | None:
    """The language in Latin letters whose own function words `text` has most of; None if they do not tell."""
    counts, total = _counts(text)
    first, second = counts.most_common(2)
    least = max(2, _LEAST_SHARE * total)
    clear = total >= _LEAST_WORDS and first[1] >= least and first[1] > 2 * second[1]
    return first[0] if clear else None


def _counts(text: str) -> tuple[Counter[str], int]:
    found = words(text)
    return Counter({language: sum(word in own for word in found) for language, own in _LANGUAGES.items()}), len(found)

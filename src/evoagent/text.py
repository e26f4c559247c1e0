"""Texts: reading them within bounds, and their surface: words, content words, scripts, repetition."""

from __future__ import annotations

import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from evoagent.errors import ConfigError, UserError

# Scripts without spaces count a character as a word: Thai to Myanmar, Khmer, kana, Han.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])\w)+(?:'(?:(?![{_UNSPACED}])\w)+)*")
_TOKEN = re.compile(r"\w+|[^\w\s]")

_STOP_WORDS = """
a about above after again against all also am an and any are aren't as at be because been before being below between
both but by can can't could couldn't did didn't do does doesn't doing don't down during each either else ever every
few for from further get had hadn't has hasn't have haven't having he her here hers herself him himself his how
however i i'd i'll i'm i've if in into is isn't it it's its itself just let let's may me might more most must my
myself neither nor not of off on once only onto or other our ours ourselves out over own per please quite rather
really same shall she should shouldn't so some such than that that's the their theirs them themselves then there
there's these they they're this those though through thus to too toward towards under until up upon us very was
wasn't we we're were weren't what what's whatever when where whether which while who whom whose why will with within
without won't would wouldn't yet you you'd you'll you're you've your yours yourself yourselves
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""English words without content of their own. Yes, no and numbers are not among them: they can be an answer."""

_QUESTION_WORDS = """
what what's which who who's whom whose when where why how is are was were do does did can could should would will
may am has have had
"""
QUESTION_WORDS = frozenset(_QUESTION_WORDS.split())

_IMPERATIVES = """
add adapt adjust advise analyse analyze annotate answer apply argue arrange ask assess assign assume brainstorm
break build calculate categorise categorize change check choose cite classify collect combine come comment compare
complete compose compute condense consider construct continue contrast convert correct count craft create criticise
criticize critique debate debug decide deduce define demonstrate derive describe design detect determine develop
devise diagnose differentiate discuss distinguish divide draft draw edit elaborate enumerate estimate evaluate
examine expand explain explore express extend extract fill find fix follow form format formulate generate give group
guess help highlight hypothesise hypothesize identify illustrate imagine implement improve include infer insert
interpret introduce invent investigate judge justify keep label let's limit list look make mark match mention merge
modify name offer optimise optimize order organise organize outline paraphrase parse perform pick plan please point
predict prepare present produce proofread propose prove provide pretend quote rank rate read recommend reduce
refactor refer refuse remove rephrase replace reply report restrict respond restate retell review revise rewrite
role-play say select show simplify simulate sketch solve sort specify split state structure subtract suggest
summarise summarize support suppose take tell test think trace transform translate trim try turn update use verify
visualise visualize write
"""
IMPERATIVES = frozenset(_IMPERATIVES.split())


def read_text(path: Path, most: int, refused: type[UserError] = ConfigError) -> str:
    """What is in a file that a user names.

    Raises:
        UserError: of the type `refused`: it is missing, no regular file (a pipe or a device may have no end), larger
            than `most` characters, or not UTF-8; names the path and what was found.
    """
    name = str(path) if str(path).isprintable() else repr(str(path))
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise refused(f"{name}: found {_KINDS.get(stat.S_IFMT(mode), 'a device')}, expected a file")
        with path.open(encoding="utf-8") as stream:
            text = stream.read(most + 1)
    except UnicodeDecodeError as error:
        raise refused(f"{name}: cannot be read: found byte {error.object[error.start]:#04x}, expected UTF-8") from error
    except (OSError, ValueError) as error:  # a path with NUL in it is a ValueError
        raise refused(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(text) > most:
        raise refused(f"{name}: found more than {most} characters, expected at most that")
    return text


_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


CUT = " […] "
"""What stands where a text was shortened."""


def shortened(text: str, most: int) -> str:
    """`text` in at most about `most` characters, its middle left out: what an evolution adds is mostly at the end."""
    if len(text) <= most:
        return text
    return f"{text[: most // 3]}{CUT}{text[-(most - most // 3) :]}"


def words(text: str) -> list[str]:
    """The words of `text`, lower case, without punctuation; in scripts without spaces, its characters."""
    return _WORD.findall(text.lower().replace("’", "'"))


def normalise(text: str) -> str:
    """`text` as its words alone, for comparing regardless of case, space and punctuation."""
    return " ".join(words(text))


def content_words(text: str) -> set[str]:
    """Words that carry content, with the endings cut so that a mere change of form is no new word.

    Why and how are among them: an instruction that asks for reasons as well asks for more.
    """
    return {_stem(word) for word in words(text) if word not in STOP_WORDS or word in ("why", "how")}


def _stem(word: str) -> str:
    word = word.removesuffix("'s")
    for ending in ("ing", "ies", "ed", "es", "s", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


_LEADS = {"also", "and", "finally", "first", "next", "now", "please", "then"}
_CLAUSES = {"based", "before", "considering", "given", "in", "using"}
_PREPOSITIONS = {"at", "by", "for", "from", "in", "on", "to", "under", "with"}


def starts_as_order(text: str) -> bool:
    """Whether `text` begins with an imperative or a question word: at once, or after "then", "given …," or "in".

    "What a pity" begins with neither.
    """
    opening, comma, rest = text[:300].partition(",")
    first = words(opening)
    if comma and first and first[0] in _CLAUSES and first[1:2] != ["what"]:
        first = words(rest)
    while len(first) > 1 and first[0] in _LEADS:
        first = first[1:]
    if len(first) > 1 and first[0] in _PREPOSITIONS:
        return first[1] in {"what", "which", "whom", "whose"}
    if not first or (first[0] == "what" and first[1:2] in (["a"], ["an"])):
        return False
    return first[0] in IMPERATIVES or first[0] in QUESTION_WORDS


def repeated_share(text: str, size: int = 3) -> float:
    """Share of runs of `size` words or marks that occurred before in `text`: 0 without repetition, near 1 in a loop."""
    tokens = _TOKEN.findall(text.lower())
    runs = list(zip(*(tokens[start:] for start in range(size)), strict=False))
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def longest_copy(text: Sequence[str], source: Sequence[str], common: Collection[str] = ()) -> int:
    """Size of the greatest run of words that `text` and `source` share, words of `common` not counted."""
    import numpy as np

    longer, shorter = (text, source) if len(text) > len(source) else (source, text)
    numbers = {word: number for number, word in enumerate(set(longer))}
    column = np.array([numbers[word] for word in longer])
    best, row = 0, np.zeros(len(longer) + 1, dtype=np.int64)
    # Row by row of the table of runs that end at two words, a row at once.
    for word in shorter:
        same = column == numbers.get(word, -1)
        row[1:] = np.where(same, row[:-1] + (word not in common), 0)
        best = max(best, int(row.max()))
    return best


def scripts(text: str) -> Counter[str]:
    """How many letters of each script `text` has; kana and Han count as one, since Japanese mixes them."""
    return Counter(_script(letter) for letter in text if letter.isalpha())


def _script(letter: str) -> str:
    name = unicodedata.name(letter, "UNKNOWN").split(" ", 1)[0]
    return "CJK" if name in {"HIRAGANA", "KATAKANA", "CJK"} else name

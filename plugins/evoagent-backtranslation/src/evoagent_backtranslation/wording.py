"""Kinds that concern words, first and last words, and marks."""

from __future__ import annotations

import re
from collections import Counter

from evoagent_backtranslation import text as texts
from evoagent_backtranslation.constraint import Case, Kind, Values

_COMMON_WORDS = """
a about above after again all also although an and another any anyone anything are around as at away back be because
been before being below best better between both but by came can come could did do does doing done down during each
either else even ever every everyone everything few first for from further get gets give given gives go goes going
good great had has have having he her here hers high him his how however i if important in into is it its itself
just keep know large last later least less let like likely little long look lot made main make makes making many may
maybe me mean means might more most much must my need needs never new next no nor not nothing now of off often old
on once one only onto or other others our out over own part people perhaps place please possible put quite rather
really right said same say says second see seem seems set several she should since small so some someone something
sometimes soon still such sure take takes taken tell than that the their them then there therefore these they thing
things think this those though three through thus time times to together too toward towards two under until up upon
us use used useful using usually very want was way ways we well went were what when where whether which while who
whole whom whose why will with within without won work would year years yes yet you your yours able almost already
always amount call called certain consider different due early enough entire example far feel felt find found full
general help include including instead kind left lots matter mostly near number numbers otherwise overall particular
past present quickly related result similar simple simply sort type types typically various word
"""
_COMMON = frozenset(_COMMON_WORDS.split())
_TASK_WORDS = """
abstract add answer answers article ask based brainstorm brief call change choose classify code come comment compare
complete compose conversation convert correct create decide define describe description design detailed detect
determine develop different discuss draft edit email essay example examples explain explanation express expand
extract facts fill find five following form four function generate help here identify information input instruction
issue joke kind know language letter like line lines list long make me mention message model name names note number
numbers one opinion order output paragraph parts phrase piece plan poem point points post prepare program provide
question questions read reason reasons recommend remove rephrase reply response return rewrite rule ruleset sample
say select sentence sentences short show single situation solve some sort specific statement step steps story
subject suggest suggestions summarize summary table task tasks tell text three title topic translate two type types
verify way ways word words write writing you your
"""
_TASK = frozenset(_TASK_WORDS.split())
_CREATIVE = r"poem|haiku|song|lyrics|story|tale|scene|speech|essay|joke|riddle|metaphor|dialogue|slogan|rap|sentence"
_PERSON_WORDS = """
i me my mine myself i'm i've i'd i'll we us our ours we're we've we'd we'll let's
"""
_PERSON = frozenset(_PERSON_WORDS.split())
_FREQUENT = {"e": 0.12, "t": 0.09, "a": 0.08, "o": 0.075, "i": 0.07, "n": 0.067, "s": 0.063, "h": 0.06, "r": 0.06}
_FREQUENT |= {"d": 0.043, "l": 0.04, "c": 0.028, "u": 0.028, "m": 0.024, "w": 0.024, "f": 0.022, "g": 0.02}
_FREQUENT |= {"y": 0.02, "p": 0.019, "b": 0.015, "v": 0.01, "k": 0.008}
_GREETING = re.compile(r"(Dear|Hi|Hello|Good morning|Good afternoon|Good evening)\b")
_CLOSING = re.compile(
    r"(Sincerely|Yours sincerely|Best regards|Kind regards|Warm regards|Regards|Best wishes|Best|Thank you|Thanks"
    r"|Many thanks|Cheers|Love|Yours truly|Respectfully)[,.!]?$"
)
_SPELLED_WORDS = """
two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred thousand
"""
_SPELLED = frozenset(_SPELLED_WORDS.split())


def _plain(word: str) -> bool:
    return len(word) >= 4 and word.isascii() and word.isalpha() and word.islower() and word not in _COMMON


def _near(word: str, others: set[str]) -> bool:
    return any(word[: max(4, len(word) - 3)] == other[: max(4, len(word) - 3)] for other in others)


def _counts(case: Case) -> Counter[str]:
    """How often each word with content occurs. What is written with a capital is left out: names may be the answer."""
    written = Counter(word for word in texts.WORD.findall(case.response) if _plain(word))
    return Counter({word: count for word, count in written.items() if case.words.count(word) == count})


def _salient(case: Case) -> list[str]:
    """Words that say something which the instruction does not; those used more than once first, else as drawn."""
    if case.closed:
        return []
    found = _counts(case).items()
    counts = {word: count for word, count in found if not word.endswith("ly") and not _near(word, case.asked)}
    return sorted(counts, key=lambda word: (-min(counts[word], 2), -(len(word) > 5), case.draw(word)))


def _include(case: Case) -> Values | None:
    found = _salient(case) if case.prose and len(case.words) >= 30 else []
    return (found[0],) if found else None


def _include_two(case: Case) -> Values | None:
    found = _salient(case) if case.prose and len(case.words) >= 45 else []
    return (found[0], found[1]) if len(found) > 1 else None


def _repeat(case: Case) -> Values | None:
    found = _salient(case) if case.prose and len(case.words) >= 30 else []
    count = _counts(case)[found[0]] if found else 0
    return (found[0], count) if 2 <= count <= 6 else None


def _avoid(case: Case) -> Values | None:
    if not case.prose or len(case.words) < 10 or case.closed or case.offers:
        return None
    if case.says("avoid|without|do not use|don't use|word"):
        return None
    there = set(case.words)
    # The first word is what to do, seldom what it is about.
    asked = [word for word in texts.words(case.instruction)[1:] if _plain(word) and word not in _TASK]
    asked = [word for word in asked if not word.endswith(("ly", "ing", "ed"))]
    left = [word for word in asked if not _near(word, there)]
    # Where hardly any word of the subject comes back, the response speaks of something else.
    return (left[-1],) if left and len(left) < len(asked) else None


def _lipogram(case: Case) -> Values | None:
    if not case.prose or len(case.words) < 12 or not case.says(_CREATIVE):
        return None
    letters = Counter(char for char in case.response.lower() if char.isalpha())
    total = sum(letters.values())
    gone = [letter for letter, share in _FREQUENT.items() if not letters[letter] and share * total >= 4]
    return (gone[0],) if gone else None


def _first_word(case: Case) -> Values | None:
    match = re.match(r"[A-Z][a-z]{3,}\b", case.response.strip())
    if match is None or len(case.words) < 20 or not case.prose or _GREETING.match(case.response.strip()):
        return None
    word = match[0].lower()
    fits = case.says(rf"{_CREATIVE}|describe|review|advertisement|dialogue")
    return (match[0],) if fits and word not in _COMMON and not _near(word, case.asked) else None


def _begins(response: str, opening: str) -> bool:
    return re.match(rf"\W*{re.escape(opening)}(?!\w)", response) is not None


def _last_word(case: Case) -> Values | None:
    if len(case.words) < 15 or not case.prose or not case.says(_CREATIVE):
        return None
    word = case.words[-1]
    written = re.findall(r"[^\W_]+", case.response)[-1]
    return (word,) if _plain(word) and written == word and not _near(word, case.asked) else None


def _greeting(case: Case) -> Values | None:
    match = _GREETING.match(case.response.strip())
    return (match[1],) if match and len(case.words) >= 15 else None


def _closing(case: Case) -> Values | None:
    for line in texts.lines(case.response)[-3:]:
        if (match := _CLOSING.match(line)) and len(case.words) >= 15 and "\n" in case.response.strip():
            return (match[1],)
    return None


def _closes(response: str, closing: str) -> bool:
    return any(line.startswith(closing) for line in texts.lines(response)[-3:])


def _question(case: Case) -> Values | None:
    fits = case.response.rstrip().endswith("?") and len(case.words) >= 12 and (texts.sentences(case.response) or 0) > 1
    return () if fits and case.prose and not case.says(r"questions?|ask|riddle|interview|survey|quiz|joke") else None


def _exclamation(case: Case) -> Values | None:
    fits = case.response.rstrip().endswith("!") and len(case.words) >= 8 and case.prose
    return () if fits and not case.says(r"exclamation\w*") else None


def _no_commas(case: Case) -> Values | None:
    fits = case.prose and len(case.words) >= 16 and "," not in case.response and texts.sentences(case.response)
    return () if fits and not case.says(r"commas?|semicolons?") else None


def _no_digits(case: Case) -> Values | None:
    spelled = _SPELLED & set(case.words)
    fits = spelled and case.prose and len(case.words) >= 10 and not re.search(r"\d", case.response)
    return () if fits and not case.says("digits?|numbers?") else None


def _no_person(case: Case) -> Values | None:
    # Only where one would expect it: a question to "you", or a request for somebody's own view.
    fits = case.prose and len(case.words) >= 30 and not _PERSON & set(case.words)
    return () if fits and case.says(r"you|your|opinion|my|me") and not case.says("person") else None


WORDING = (
    Kind(
        "include",
        "words",
        ("Include the word {q}.", "Work in the word {q}.", "The word {q} has to appear in the answer."),
        _include,
        lambda response, word: word in texts.words(response),
    ),
    Kind(
        "include-two",
        "words",
        ("Use both the words {q} and {r}.", "The words {q} and {r} have to appear in the answer."),
        _include_two,
        lambda response, one, other: {one, other} <= set(texts.words(response)),
    ),
    Kind(
        "repeat",
        "words",
        ("Use the word {q} at least {n} times.", "The word {q} has to occur at least {n} times."),
        _repeat,
        lambda response, word, count: texts.words(response).count(word) >= count,
        0.5,
    ),
    Kind(
        "avoid",
        "words",
        ("Do not use the word {q}.", "Manage without the word {q}.", "Leave out the word {q}."),
        _avoid,
        lambda response, word: word not in texts.words(response),
        2.0,
    ),
    Kind(
        "lipogram",
        "words",
        ("Do not use the letter {q}.", "No word of the answer may have the letter {q}."),
        _lipogram,
        lambda response, letter: letter not in response.lower(),
        0.5,
    ),
    Kind(
        "first-word",
        "ends",
        ("Begin your answer with the word {q}.", "Make {q} the first word of the answer."),
        _first_word,
        _begins,
        0.7,
    ),
    Kind(
        "last-word",
        "ends",
        ("End with the word {q}.", "Make {q} the last word of the answer."),
        _last_word,
        lambda response, word: texts.words(response)[-1:] == [word],
    ),
    Kind(
        "greeting",
        "ends",
        ("Open with {q}.", "Begin with the greeting {q}."),
        _greeting,
        _begins,
        1.5,
    ),
    Kind(
        "closing",
        "ends",
        ("Sign off with {q}.", "Close with {q}."),
        _closing,
        _closes,
        2.0,
    ),
    Kind(
        "end-question",
        "ends",
        ("End with a question.", "Let the last sentence be a question."),
        _question,
        lambda response: response.rstrip().endswith("?"),
        2.0,
    ),
    Kind(
        "end-exclamation",
        "ends",
        ("End with an exclamation mark.", "Let the answer end with an exclamation mark."),
        _exclamation,
        lambda response: response.rstrip().endswith("!"),
        0.7,
    ),
    Kind(
        "no-commas",
        "marks",
        ("Do not use any commas.", "Write it without commas."),
        _no_commas,
        lambda response: "," not in response,
        1.5,
    ),
    Kind(
        "no-digits",
        "marks",
        ("Spell out all numbers and use no digits.", "Write numbers in words, without any digit."),
        _no_digits,
        lambda response: not re.search(r"\d", response),
    ),
    Kind(
        "no-first-person",
        "marks",
        ("Do not write in the first person.", "Avoid the first person."),
        _no_person,
        lambda response: not _PERSON & set(texts.words(response)),
        0.7,
    ),
)

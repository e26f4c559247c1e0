"""Kinds that concern length and structure."""

from __future__ import annotations

import re

from evoagent_backtranslation import text as texts
from evoagent_backtranslation.constraint import Case, Kind, Values

_LENGTH = r"words?|characters|short\w*|brief\w*|long\w*|length|concise\w*|tweet|haiku|limerick|summar\w*|title|name"
_COUNT = r"\d+|one|two|three|four|five|six|seven|eight|nine|ten|twelve|single|both|each"


def _step(size: int) -> int:
    return 5 if size < 40 else 10 if size < 150 else 25 if size < 400 else 50


def _countable(case: Case, least: int) -> bool:
    listed = texts.bullets(case.response) or texts.numbered(case.response)
    return case.prose and not listed and len(case.words) >= least and not case.says(_LENGTH)


def _exact(case: Case) -> Values | None:
    size = len(case.words)
    fits = _countable(case, 4) and size <= 20 and not re.search(r"[\n:;]", case.response.strip())
    return (size,) if fits and not _listed(case.response) and not case.closed and not case.says(_COUNT) else None


def _most(case: Case) -> Values | None:
    size = len(case.words)
    return (-(-(size + 1) // _step(size)) * _step(size),) if _countable(case, 12) and not case.closed else None


def _least(case: Case) -> Values | None:
    size = len(case.words)
    return (size // _step(size) * _step(size),) if _countable(case, 40) else None


def _between(case: Case) -> Values | None:
    size = len(case.words)
    if not _countable(case, 30) or case.closed:
        return None
    low = size // _step(size) * _step(size)
    return low, low + 2 * _step(size) if size - low > _step(size) // 2 else low + _step(size)


_GIVEN_FORM = (
    r"outp\w*|respond|return|select|choose|index|true|false|yes|no|categor\w*|candidates|topics?|words?|one|single"
)


def _one_word(case: Case) -> Values | None:
    # A response that the instruction quotes is one of those that it allows.
    allowed = '"' in case.instruction or case.says(_GIVEN_FORM)
    return () if _is_word(case.response) and not allowed else None


def _number_only(case: Case) -> Values | None:
    return () if _is_number(case.response) and not case.says(rf"{_GIVEN_FORM}|only|alone|just") else None


def _is_word(text: str) -> bool:
    return re.fullmatch(r"[^\W\d_]{2,}(?:['’-][^\W\d_]+)*[.!]?", text.strip()) is not None


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?\d[\d.,]*%?", text.strip()) is not None


def _listed(text: str) -> bool:
    return bool(texts.bullets(text) or texts.numbered(text) or texts.comma_items(text))


def _sentences(case: Case) -> Values | None:
    count = texts.sentences(case.response)
    if count is None or not 2 <= count <= 8 or not case.prose or case.closed:
        return None
    return None if case.says(r"sentences?|paragraphs?|lines?|haiku|\d+") else (count,)


def _one_sentence(case: Case) -> Values | None:
    if texts.sentences(case.response) != 1 or len(case.words) < 8 or not case.prose or case.closed:
        return None
    if _listed(case.response):
        return None
    return None if case.says(r"sentences?|title|joke|question|pun|haiku|line|word|phrase") else ()


def _paragraphs(case: Case) -> Values | None:
    found = texts.paragraphs(case.response)
    long = all(len(texts.words(part)) >= 12 and "\n" not in part for part in found)
    fits = 2 <= len(found) <= 6 and long and case.prose and not case.says(r"paragraphs?|sections?|parts?|stanzas?")
    return (len(found),) if fits else None


def _bullets(case: Case) -> Values | None:
    size = len(texts.bullets(case.response))
    return (size,) if 2 <= size <= 15 and not case.says(rf"bullet\w*|{_COUNT}") else None


def _numbered(case: Case) -> Values | None:
    size = len(texts.numbered(case.response))
    return (size,) if 2 <= size <= 15 and not case.says(rf"number(?:ed|s)?|{_COUNT}") else None


def _lines(case: Case) -> Values | None:
    found = texts.lines(case.response)
    plain = 3 <= len(found) <= 14 and not _listed(case.response) and texts.table(case.response) is None
    if not plain or texts.is_code(case.response) or any(len(line.split()) > 14 for line in found):
        return None
    return None if case.says(rf"lines?|haiku|limerick|sonnet|following|given|{_COUNT}") else (len(found),)


def _comma_list(case: Case) -> Values | None:
    size = len(texts.comma_items(case.response))
    return (size,) if 3 <= size <= 15 and not case.says(rf"comma\w*|{_COUNT}") else None


def _steps(case: Case) -> Values | None:
    size = _count_steps(case.response)
    return (size,) if 2 <= size <= 12 and not case.says(rf"step \d|{_COUNT}") else None


def _count_steps(text: str) -> int:
    found = re.findall(r"^\W{0,4}step (\d{1,2})\b", text, re.IGNORECASE | re.MULTILINE)
    return len(found) if found == [str(number) for number in range(1, len(found) + 1)] else 0


def _headings(case: Case) -> Values | None:
    size = _count_headings(case.response)
    return (size,) if 2 <= size <= 10 and not case.says("sections?|headings?|chapters?") else None


def _count_headings(text: str) -> int:
    return len(re.findall(r"^#{1,6} \S", text, re.MULTILINE))


SHAPE = (
    Kind(
        "words-exactly",
        "length",
        ("Answer in exactly {n} words.", "Use exactly {n} words for the answer.", "Make the answer {n} words long."),
        _exact,
        lambda response, size: len(texts.words(response)) == size,
    ),
    Kind(
        "words-at-most",
        "length",
        ("Use at most {n} words.", "Keep the answer to no more than {n} words.", "Stay within {n} words."),
        _most,
        lambda response, size: len(texts.words(response)) <= size,
        1.5,
    ),
    Kind(
        "words-at-least",
        "length",
        ("Write at least {n} words.", "Make it no shorter than {n} words."),
        _least,
        lambda response, size: len(texts.words(response)) >= size,
    ),
    Kind(
        "words-between",
        "length",
        ("Write between {n} and {m} words.", "Aim for a length of {n} to {m} words."),
        _between,
        lambda response, low, high: low <= len(texts.words(response)) <= high,
        1.5,
    ),
    Kind(
        "one-word",
        "length",
        ("Answer with a single word.", "Reply with one word only.", "Give a one-word answer."),
        _one_word,
        _is_word,
        alone=True,
    ),
    Kind(
        "number-only",
        "length",
        ("Answer with the number alone.", "Give only the number, without a word around it."),
        _number_only,
        _is_number,
        alone=True,
    ),
    Kind(
        "sentences",
        "structure",
        (
            "Answer in exactly {n} sentences.",
            "Use {n} sentences, no more and no fewer.",
            "Make it exactly {n} sentences.",
        ),
        _sentences,
        lambda response, count: texts.sentences(response) == count,
        2.0,
    ),
    Kind(
        "one-sentence",
        "structure",
        ("Answer in a single sentence.", "Use one sentence only.", "Put everything into one sentence."),
        _one_sentence,
        lambda response: texts.sentences(response) == 1,
        1.5,
    ),
    Kind(
        "paragraphs",
        "structure",
        ("Divide the answer into {n} paragraphs.", "Write {n} paragraphs, with an empty line between them."),
        _paragraphs,
        lambda response, count: len(texts.paragraphs(response)) == count,
        2.0,
    ),
    Kind(
        "bullets",
        "structure",
        ("Answer with a bulleted list of {n} items.", "Give {n} bullet points and nothing else."),
        _bullets,
        lambda response, count: len(texts.bullets(response)) == count,
        3.0,
    ),
    Kind(
        "numbered",
        "structure",
        ("Answer with a numbered list of {n} items.", "Number the items, {n} in all, one on each line."),
        _numbered,
        lambda response, count: len(texts.numbered(response)) == count,
        3.0,
    ),
    Kind(
        "lines",
        "structure",
        ("Use exactly {n} lines.", "Spread the answer over {n} lines."),
        _lines,
        lambda response, count: len(texts.lines(response)) == count,
        1.5,
    ),
    Kind(
        "comma-list",
        "structure",
        (
            "Give {n} items on one line, separated by commas.",
            "Answer with a list of {n} items, separated by commas.",
        ),
        _comma_list,
        lambda response, count: len(texts.comma_items(response)) == count,
        3.0,
    ),
    Kind(
        "steps",
        "structure",
        ('Present it in {n} steps, each of which begins with "Step" and its number.',),
        _steps,
        lambda response, count: _count_steps(response) == count,
        3.0,
    ),
    Kind(
        "headings",
        "structure",
        ("Divide the answer into {n} sections with Markdown headings.",),
        _headings,
        lambda response, count: _count_headings(response) == count,
        3.0,
    ),
)

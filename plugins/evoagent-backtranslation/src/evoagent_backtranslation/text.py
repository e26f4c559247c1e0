"""Counting what constraints count: words, sentences, paragraphs, items. Every function is linear in the text."""

from __future__ import annotations

import json
import re
from typing import Any

WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")
_END = re.compile(r"[.!?]+[\"”'’)]*(?=\s|\Z)")
_SHORT_WORDS = """
mr mrs ms dr prof st vs etc eg ie no fig approx jr sr inc ltd co dept est
"""
_SHORT = frozenset(_SHORT_WORDS.split())
_BULLET = re.compile(r"[-*•–]\s+\S|[-•]\S")
_NUMBERED = re.compile(r"(\d{1,2})[.)]\s*\S")
_LABEL = re.compile(r"(?:^|[.!?] )[^.!?,:\n]{1,40}:", re.MULTILINE)
_FENCE = re.compile(r"^```[^\n`]*$", re.MULTILINE)
_SURE_CODE = re.compile(
    r"```|\bSELECT\b[^;]{1,400}\bFROM\b|^[ \t]*(?:def \w+\(|#include|import \w+$)|</\w+>", re.MULTILINE
)
_CODE = re.compile(
    r"^[ \t]*(?:def |class |import |from \w+ import|function |#include|public |SELECT |INSERT |for \(|return )"
    r"|[{};][ \t]*$|</\w+>|=>|->|==|\+\+|^[ \t]{4,}\S",
    re.MULTILINE,
)

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def words(text: str) -> list[str]:
    """The words of `text`, lower case: letters and digits, with inner hyphens and apostrophes."""
    return WORD.findall(text.lower().replace("’", "'"))


def lines(text: str) -> list[str]:
    """The lines that are not blank, without outer space."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def paragraphs(text: str) -> list[str]:
    """Stretches of lines with blank lines between them."""
    found: list[list[str]] = [[]]
    for line in text.strip().splitlines():
        if line.strip():
            found[-1].append(line.strip())
        elif found[-1]:
            found.append([])
    return ["\n".join(part) for part in found if part]


def sentences(text: str) -> int | None:
    """How many sentences `text` has; None where that is not sure: lists, code, abbreviations, no full stop at last."""
    text = text.strip()
    if not text or is_code(text) or len(_LABEL.findall(text)) > 1:
        return None
    if any(_BULLET.match(line) or _NUMBERED.match(line) for line in lines(text)):
        return None
    ends = list(_END.finditer(text))
    if not ends or ends[-1].end() != len(text):
        return None
    for end in ends[:-1]:
        before = WORD.findall(text[max(0, end.start() - 24) : end.start()])
        after = text[end.end() :].lstrip()[:1]
        word = before[-1].lower() if before else ""
        if end[0].startswith(".") and (word in _SHORT or len(word) == 1 or word.isdigit() or after.islower()):
            return None
        if not end[0].startswith(".") and after.islower():
            return None
    # A line that ends without a mark is a heading or an item: nobody can say how many sentences those are.
    if any(not _END.search(line[-3:]) for line in lines(text)):
        return None
    return len(ends)


def bullets(text: str) -> list[str]:
    """The items of a list with bullets, if `text` is nothing else."""
    found = lines(text)
    return found if len(found) > 1 and all(_BULLET.match(line) for line in found) else []


def numbered(text: str) -> list[str]:
    """The items of a list that is numbered from 1, if `text` is nothing else."""
    found = lines(text)
    marks = [match[1] if (match := _NUMBERED.match(line)) else "" for line in found]
    return found if len(found) > 1 and marks == [str(number) for number in range(1, len(found) + 1)] else []


def comma_items(text: str) -> list[str]:
    """The items of a list with commas on one line, if `text` is nothing else."""
    text = text.strip()
    if "\n" in text or ":" in text or text.count(",") < 2 or len(text) > 600:
        return []
    items = [item.strip() for item in text.rstrip(".").split(",")]
    items[-1] = re.sub(r"^(?:and|or) ", "", items[-1])
    plain = all(item and len(item.split()) <= 4 and item.replace(" ", "").isalpha() for item in items)
    return items if plain and not re.search(r" (?:and|or) ", items[-1]) else []


def table(text: str) -> tuple[int, int] | None:
    """Rows, without the head, and columns, if `text` is a Markdown table."""
    found = lines(text)
    if len(found) < 3 or not all("|" in line for line in found):
        return None
    if not all(re.fullmatch(r":?-{2,}:?", cell.strip()) for cell in found[1].strip("|").split("|")):
        return None
    return len(found) - 2, len(found[0].strip("|").split("|"))


def parsed_json(text: str) -> Any:
    """The object or list that `text` is in JSON; None if it is none. A fence around it counts as nothing."""
    body = inside_fence(text) or text.strip()
    if body[:1] not in ("{", "["):
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) and value else None


def inside_fence(text: str) -> str | None:
    """What stands in the only code fence of `text`, if `text` is nothing else."""
    text = text.strip()
    if not text.startswith("```") or not text.endswith("```") or len(_FENCE.findall(text)) != 2:
        return None
    _, _, rest = text.partition("\n")
    return rest[: rest.rfind("```")].strip() or None


def is_code(text: str) -> bool:
    """Whether `text` has signs of code."""
    return _SURE_CODE.search(text) is not None or len(_CODE.findall(text)) >= 2


def is_prose(text: str) -> bool:
    """Whether `text` is mostly words in whole sentences or verse, so that its words can be counted."""
    letters = sum(1 for char in text if char.isalpha() or char.isspace() or char in ",.'’!?;-")
    return bool(text) and not is_code(text) and not re.search(r"[|=]|<<|->", text) and letters / len(text) > 0.93


def spelled(number: int) -> str:
    """`number` as it is written in a sentence: in words up to twelve."""
    return NUMBERS[number] if number < len(NUMBERS) else str(number)

"""Kinds that concern the format of the whole: code, tables, a title, the language, the case, how it ends."""

from __future__ import annotations

import re

from evoagent_backtranslation import text as texts
from evoagent_backtranslation.constraint import Case, Kind, Values
from evoagent_backtranslation.language import ENGLISH, language_of


def _json(case: Case) -> Values | None:
    # A list that was given as one comes back as one, whoever answers.
    given = case.says("json|lists?|arrays?|sets?") or case.input.lstrip()[:1] in ("[", "{")
    return () if texts.parsed_json(case.response) is not None and not given else None


def _table(case: Case) -> Values | None:
    found = texts.table(case.response)
    return (found[1],) if found and 2 <= found[1] <= 8 and not case.says("table|columns?") else None


def _columns(response: str, count: int) -> bool:
    found = texts.table(response)
    return found is not None and found[1] == count


def _code_only(case: Case) -> Values | None:
    return () if texts.inside_fence(case.response) is not None and not case.says("code block|markdown|json") else None


def _code_and_text(case: Case) -> Values | None:
    apart = _has_fence(case.response) and texts.inside_fence(case.response) is None
    return () if apart and not case.says("code block|markdown") else None


def _has_fence(response: str) -> bool:
    return len(re.findall(r"^```", response, re.MULTILINE)) >= 2


def _function(case: Case) -> Values | None:
    names = re.findall(r"^def (\w{2,40})\(", case.response, re.MULTILINE)
    return (names[0],) if len(names) == 1 and names[0] not in f"{case.instruction}\n{case.input}" else None


def _defines(response: str, name: str) -> bool:
    return re.search(rf"^def {re.escape(name)}\(", response, re.MULTILINE) is not None


def _has_title(text: str) -> bool:
    parts = text.strip().split("\n\n", 1)
    title = parts[0].strip()
    size = len(texts.words(title))
    whole = "\n" not in title and 1 <= size <= 10 and not re.search(r"[.,:;]$", title) and title[:1] not in "-*•`|{"
    return len(parts) == 2 and whole and len(texts.words(parts[1])) >= 20


def _title(case: Case) -> Values | None:
    letter = re.match(r"(?:dear|hi|hello)\b", case.response, re.IGNORECASE)
    fits = _has_title(case.response) and case.prose and not letter
    return () if fits and not case.says("title|headline|heading|letter|email|name") else None


def _after_mark(case: Case) -> Values | None:
    fits = _ends_after(case.response, "####") and "####" not in case.instruction and "\n" in case.response.strip()
    return ("####",) if fits else None


def _ends_after(response: str, mark: str) -> bool:
    last = response.strip().rsplit("\n", 1)[-1].strip()
    return last.startswith(mark) and 0 < len(last) - len(mark) <= 80


def _conclusion(case: Case) -> Values | None:
    return ("The answer is",) if _concludes(case.response, "The answer is") and len(case.words) > 8 else None


def _concludes(response: str, opening: str) -> bool:
    start = response.rfind(opening)
    before = response[:start].rstrip()
    last = response[start:].strip() if start >= 0 else ""
    return bool(last) and len(last) < 100 and "\n" not in last and not before.endswith(",") and ". " not in last


def _in_quotes(response: str) -> bool:
    text = response.strip()
    return len(text) > 4 and text[0] in '"“' and text[-1] in '"”' and not any(char in '"“”' for char in text[1:-1])


def _quotes(case: Case) -> Values | None:
    return () if _in_quotes(case.response) and not case.says("quot\\w*") else None


def _language(case: Case) -> Values | None:
    name = language_of(case.response)
    if name in (None, ENGLISH) or case.says(rf"{name}|translat\w*|language"):
        return None
    return (name,) if name is not None else None


def _is_upper(text: str) -> bool:
    return sum(len(word) > 1 and word.isalpha() for word in texts.words(text)) >= 3 and text.isupper()


def _lower(case: Case) -> Values | None:
    # A label or two may be in lower case by chance.
    fits = _is_lower(case.response) and len(case.words) > 5 and case.prose
    return () if fits and not case.says("lower\\w*|case") else None


def _is_lower(text: str) -> bool:
    return len(texts.words(text)) >= 3 and text.islower()


LAYOUT = (
    Kind(
        "json",
        "format",
        ("Answer with valid JSON and nothing else.", "The whole answer has to be valid JSON."),
        _json,
        lambda response: texts.parsed_json(response) is not None,
        3.0,
    ),
    Kind(
        "table",
        "format",
        ("Put the answer into a Markdown table with {n} columns.", "Answer with a Markdown table of {n} columns."),
        _table,
        _columns,
        3.0,
    ),
    Kind(
        "code-only",
        "format",
        ("Answer with a single code block and nothing else.", "Give only the code, in one Markdown code block."),
        _code_only,
        lambda response: texts.inside_fence(response) is not None,
        2.0,
    ),
    Kind(
        "code-block",
        "format",
        ("Put the code into a Markdown code block.", "Set the code off in a Markdown code block."),
        _code_and_text,
        _has_fence,
        2.0,
    ),
    Kind(
        "title",
        "format",
        ("Begin with a title on a line of its own.", "Give the text a title, with an empty line below it."),
        _title,
        _has_title,
        2.0,
    ),
    Kind(
        "quotes",
        "format",
        ("Put the whole answer in double quotation marks.", "Enclose the whole answer in double quotation marks."),
        _quotes,
        _in_quotes,
    ),
    Kind(
        "language",
        "language",
        ("Write the answer in the language {q}.",),
        _language,
        lambda response, name: language_of(response) == name,
        3.0,
    ),
    Kind(
        "function-name",
        "words",
        ("Call the function {q}.", "Name the function {q}."),
        _function,
        _defines,
        2.0,
    ),
    Kind(
        "result-last",
        "ends",
        ("Put the final result on the last line, after {q}.", "End with a line that gives the result after {q}."),
        _after_mark,
        _ends_after,
        3.0,
    ),
    Kind(
        "conclusion",
        "ends",
        ("End with a sentence that begins with {q}.", "Begin your last sentence with {q}."),
        _conclusion,
        _concludes,
        2.0,
    ),
    Kind(
        "upper-case",
        "case",
        ("Write the whole answer in capital letters.", "Use capital letters only."),
        lambda case: () if _is_upper(case.response) and not case.says("capital\\w*|upper\\w*|caps") else None,
        _is_upper,
        3.0,
    ),
    Kind(
        "lower-case",
        "case",
        ("Write everything in lower case.", "Use lower-case letters only."),
        _lower,
        _is_lower,
    ),
)

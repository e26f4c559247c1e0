"""Kinds that concern length, structure and format."""

from __future__ import annotations

import re

from evoagent_backtranslation import text as texts
from evoagent_backtranslation.constraint import Case, Kind, Values
from evoagent_backtranslation.language import ENGLISH, language_of

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


def _headings(case: Case) -> Values | None:
    size = _count_headings(case.response)
    return (size,) if 2 <= size <= 10 and not case.says("sections?|headings?|chapters?") else None


def _count_headings(text: str) -> int:
    return len(re.findall(r"^#{1,6} \S", text, re.MULTILINE))


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

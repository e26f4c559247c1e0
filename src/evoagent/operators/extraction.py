"""From a completion to the instruction in it: a chain of small steps, each linear in the text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

MAX_CHARACTERS = 20_000
"""What is read of a completion: beyond that it is a runaway model."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """What was found in a completion.

    Attributes:
        instruction: "" if there is none, with the cause in `reason`.
        input: the input that the completion gives beside the instruction; None if it gives none.
        steps: the names of the steps that changed the text, in order.
    """

    instruction: str
    input: str | None = None
    reason: str | None = None
    steps: tuple[str, ...] = ()


_INVISIBLE = dict.fromkeys([*range(0x00, 0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F, 0xAD, 0x200B, 0x2060, 0xFEFF])
_CHAT_TOKEN = re.compile(
    r"<\|(?:im_start|im_end|endoftext|eot_id|end|begin_of_text|start_header_id|end_of_text|user|assistant|system)\|>"
    r"|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>|</s>\s*\Z"
)
_WRITTEN = r"(?:re-?written|evolved|harder|new(?:er)?|rarer|revised|updated|improved|modified|enhanced|complex|final)"
_THING = r"(?:task|instruction|prompt|question|request|version|problem)"
_MARK = r"[*_#>\s]{0,6}"
# "Harder:", "**Rewritten task:**", "### New instruction:"; a bare "Task:" too, but no bare "Question:".
_LABEL = rf"{_MARK}(?:(?:the )?{_WRITTEN}(?: {_THING}){{0,2}}|task|instruction|prompt)[*_]{{0,3}} ?:[*_ \t]{{0,4}}"
_FIRST_LABEL = re.compile(rf"\A{_LABEL}", re.IGNORECASE)
_RESULT_LABEL = re.compile(rf"^{_MARK}(?:the )?{_WRITTEN}(?: {_THING}){{0,2}}[*_]{{0,3}} ?:[*_ \t]{{0,4}}", re.I | re.M)
_ORIGINAL = re.compile(rf"\A{_MARK}(?:the )?original(?: {_THING})?[*_]{{0,3}} ?:", re.IGNORECASE)
_ASSENT = re.compile(
    r"\A(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|understood|got it|no problem)"
    r"(?:[!.]|,(?= here| below| i))\s*",
    re.IGNORECASE,
)
_PREFACE = re.compile(
    rf"\A(?:here(?:'s|’s| is| are)|below is|this is|i have|i've|i would|you could|the)\b[^\n:]{{0,120}}?"
    rf"\b(?:{_WRITTEN}|rewrite|{_THING})\b[^\n:]{{0,80}}:[ \t]*(?:\n\s*|(?=[\"“'`*<]|[A-Z]))",
    re.IGNORECASE,
)
# A next turn or a second example: always the end.
_NEXT_EXAMPLE = re.compile(
    rf"\n{_MARK}(?:the )?(?:original(?: {_THING})?|{_WRITTEN}(?: {_THING}){{0,2}})[*_]{{0,3}} ?:", re.IGNORECASE
)
# Speakers, answers and remarks: the end only after an empty line, for instructions may quote a talk or a form.
_AFTERWARDS = re.compile(
    rf"\n[ \t]*\n{_MARK}(?:"
    r"(?:user|human|assistant|system|task|answer|response|solution|explanation|rationale|output|note|example answer)"
    r"[*_]{0,3} ?:"
    rf"|(?:this|the|my) (?:{_WRITTEN}|{_THING}|rewrite)\b"
    r"|this (?:adds|makes|requires|asks|is (?:a|an|the|now) )"
    r"|in this (?:version|rewrite|task)\b|by (?:adding|asking|requiring)\b"
    r"|i (?:have |'ve )?(?:added|changed|rewrote|rewritten|made|kept)\b"
    r"|i hope\b|let me know\b|\(note\b|sure[,!]|-{3,}[ \t]*\n"
    r")",
    re.IGNORECASE,
)
_FENCE = re.compile(r"\A```[ \t]*([A-Za-z]{0,12})[ \t]*\n(.*?)\n?```[ \t]*(?=\Z|\n)", re.DOTALL)
_PLAIN_FENCES = frozenset({"", "text", "txt", "plaintext", "plain", "markdown", "md", "instruction"})
_INPUT_LABEL = re.compile(r"^[*_#\s]{0,6}(?:new |the )?input[*_]{0,3} ?:[*_]{0,2}[ \t]*\n?", re.I | re.M)
_APOLOGY = re.compile(
    r"\A(?:i'?m|i’m|i am) (?:sorry|unable|afraid)\b[^\n.?!]{0,40}(?:,| but| i )|\Aas an ai\b", re.IGNORECASE
)
_MARKER = re.compile(r"</?(?:instruction|task)>", re.IGNORECASE)
_INPUT_MARKER = re.compile(r"</?input>", re.IGNORECASE)
_QUOTES = {'"': '"', "“": "”", "«": "»", "'": "'", "`": "`", "**": "**"}


def _unicode(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u00a0", " ").translate(_INVISIBLE)
    return unicodedata.normalize("NFC", text)


def _chat_tokens(text: str) -> str:
    """Up to the first token of a chat template; those that only open the text are passed over."""
    while match := _CHAT_TOKEN.match(text := text.lstrip()):
        text = text[match.end() :]
    match = _CHAT_TOKEN.search(text)
    return text[: match.start()] if match else text


def _assent(text: str) -> str:
    return _ASSENT.sub("", text, count=1)


def _preface(text: str) -> str:
    """Without "Here is the rewritten task:"."""
    match = _PREFACE.match(text)
    return text[match.end() :] if match and text[match.end() :].strip() else text


def _label(text: str) -> str:
    """Without "Harder:"; where the original is repeated before it, what follows the label."""
    if _ORIGINAL.match(text):
        match = _RESULT_LABEL.search(text)
        return text[match.end() :] if match else text
    match = _FIRST_LABEL.match(text)
    return text[match.end() :] if match else text


def _fence(text: str) -> str:
    """The inside of a fence that opens the text, unless it is code."""
    match = _FENCE.match(text)
    return match[2] if match and match[1].lower() in _PLAIN_FENCES else text


def _quotes(text: str) -> str:
    """The inside of quotes, or of bold, that hold all of the text."""
    for opening, closing in _QUOTES.items():
        size = len(opening)
        if len(text) > 2 * size and text.startswith(opening) and text.endswith(closing):
            inside = text[size:-size]
            if opening not in inside and closing not in inside:
                return inside
    return text


def _next_example(text: str) -> str:
    match = _NEXT_EXAMPLE.search(text)
    return text[: match.start()] if match else text


def _afterwards(text: str) -> str:
    """Without an answer, an explanation or a next speaker after an empty line."""
    match = _AFTERWARDS.search(text)
    return text[: match.start()] if match else text


_Step = tuple[str, Callable[[str], str]]
_CLEANING: tuple[_Step, ...] = (("unicode", _unicode), ("chat tokens", _chat_tokens))
_UNWRAPPING: tuple[_Step, ...] = (
    ("assent", _assent),
    ("preface", _preface),
    ("label", _label),
    ("next example", _next_example),
    ("afterwards", _afterwards),
    ("fence", _fence),
    ("quotes", _quotes),
)


def extract(completion: str, *, with_input: bool = False) -> Extraction:
    """The instruction in `completion`; an instruction alone comes back as it is, but for outer space.

    Args:
        completion: what the model wrote; more than `MAX_CHARACTERS` of it is not read.
        with_input: the model was asked for an input too, marked or after the line "Input:".
    """
    steps: list[str] = []
    text = completion
    if len(text) > MAX_CHARACTERS:
        text = text[:MAX_CHARACTERS]
        steps.append("bound")
    text = _apply(_CLEANING, text, steps)
    input = _marked(text, "input")
    marked = _marked(text, "instruction") or _marked(text, "task")
    if marked is not None:
        text = marked
        steps.append("markers")
    # Wrappings nest: a preface before quotes around a label. Three rounds undo whatever was seen.
    for _ in range(3):
        before, text = text, _apply(_UNWRAPPING, text, steps)
        if text == before:
            break
    if with_input and input is None:
        text, input = _split_input(text, steps)
    if not any(letter.isalnum() for letter in text):
        reason = "the completion holds no words" if completion.strip() else "the completion is empty"
        return Extraction("", reason=reason, steps=tuple(steps))
    if _MARKER.search(text):
        return Extraction("", reason="the completion speaks of the markers", steps=tuple(steps))
    if _APOLOGY.match(text):
        return Extraction("", reason="the completion declines", steps=tuple(steps))
    return Extraction(text, input=input or None, steps=tuple(steps))


def _apply(chain: tuple[_Step, ...], text: str, steps: list[str]) -> str:
    for name, step in chain:
        before, text = text.strip(), step(text.strip()).strip()
        if text != before:
            steps.append(name)
    return text


def _marked(text: str, tag: str) -> str | None:
    """What stands between <tag> and </tag>; up to the end, or from the start, where one of the two is missing."""
    opening, closing = re.compile(f"<{tag}>", re.IGNORECASE), re.compile(f"</{tag}>", re.IGNORECASE)
    starts = [match.end() for match in opening.finditer(text)]
    ends = [match.start() for match in closing.finditer(text)]
    if starts and ends:
        # A model may speak of the markers before it uses them, so the longest stretch counts.
        spans, position = [], 0
        for start in starts:
            while position < len(ends) and ends[position] < start:
                position += 1
            spans.append((start, ends[position] if position < len(ends) else len(text)))
        start, end = max(spans, key=lambda span: span[1] - span[0])
        found = text[start:end]
    elif starts:
        found = text[starts[0] :]
    elif ends and tag == "instruction":
        found = text[: ends[0]]
    else:
        return None
    found = _MARKER.sub("", _INPUT_MARKER.split(found, maxsplit=1)[0]).strip()
    # The "and" of "between <instruction> and </instruction>" is no instruction.
    return found if found and (tag == "input" or found.lower() != "and") else None


def _split_input(text: str, steps: list[str]) -> tuple[str, str | None]:
    match = _INPUT_LABEL.search(text)
    if not match or not text[: match.start()].strip():
        return text, None
    steps.append("input")
    return text[: match.start()].strip(), text[match.end() :].strip()

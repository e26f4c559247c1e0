"""The sentences that tie a subject to a task, by the task's form."""

from __future__ import annotations

import hashlib
import re

from evoagent import Instruction, append_sentence
from evoagent_fusion.words import count_words

_START = 400  # characters that tell the form of a task
_WHOLE = 5  # words of an input from which it is a text or data: a single name is about nothing else

_MAKE = r"\b(?:write|compose|create|make up|invent|tell|generate|draft|come up with|give me|suggest)\b"
# Up to five words between the verb and what is written, none of which begins another clause: "tell me why this joke".
_TEXT = re.compile(
    _MAKE + r"(?: (?!why\b|how\b|if\b|whether\b|for\b|about\b|based\b|given\b|that\b)[\w'-]+){0,5}"
    r" (?:poem|haiku|limerick|song|lyrics|story|tale|joke|riddle|scene|dialogue|conversation|letter|email|e-mail|note"
    r"|message|speech|essay|article|review|blog|diary|advertisement|slogan|toast|fable|sentence|paragraph"
    r"|description|title|headline|motto|caption)\b",
    re.IGNORECASE,
)
_MADE = re.compile(_MAKE, re.IGNORECASE)
_CODE = re.compile(
    r"\b(?:functions?|programs?|python|javascript|java|sql|quer(?:y|ies)|regular expressions?|regex|shell|command|code"
    r"|algorithms?|css|html|bash)\b",
    re.IGNORECASE,
)
_DATA = re.compile(
    r"\b(?:lists?|arrays?|tables?|strings?|numbers?|files?|words?|rows?|records?|dictionar(?:y|ies)|quer(?:y|ies))\b",
    re.IGNORECASE,
)
_CALCULATION = re.compile(
    r"^(?:solve|solving|calculate|compute|convert|converting|simplify|find the (?:area|value|sum|perimeter|volume))\b",
    re.IGNORECASE,
)
_SUM = re.compile(r"\bhow (?:many|much|long|far|old)\b|\bprobability\b", re.IGNORECASE)
_DISH = re.compile(r"\b(?:recipe|cocktail|dish|menu)\b", re.IGNORECASE)
_PLAN = re.compile(
    r"\b(?:plan|schedule|itinerary|routine|checklist|(?:packing|grocery|shopping) list|workout|agenda)\b",
    re.IGNORECASE,
)
_SEVERAL = re.compile(
    r"^(?:please )?(?:list|name|suggest|brainstorm|recommend|give|mention|make a list|write a list|what are|which)\b"
    r"[^.?!]*\b(?:ideas|ways|tips|reasons|examples|things|games|questions|words|places|books|films|movies|snacks|names"
    r"|\w+[^su]s)\b",
    re.IGNORECASE,
)
_ADVICE = re.compile(
    r"^how (?:can|could|do|should) (?:i|we|you|one)\b|\bshould i\b|\b(?:advice|tips)\b|\bwhat can (?:i|we|you)\b",
    re.IGNORECASE,
)
# Names or things one after the other: another list like it could not be about just anything.
_LISTED = re.compile(r"\s*(?:[^\W\d]+: )?(?:[^\W\d]+(?: [^\W\d]+){0,2},\s*){2,40}[^\W\d]+(?: [^\W\d]+){0,2}\.?\s*")
_DESCRIBE = re.compile(r"^describe (?!how\b|why\b|what\b|the (?:difference|process))", re.IGNORECASE)

_EXPLAIN = re.compile(
    r"^(?:please |can you |could you )?(?:explain|why|how|what (?:is|are|was|were|does|do|makes|causes|happens)|discuss"
    r"|describe|compare|contrast|define|argue|do you think|is it|should)\b",
    re.IGNORECASE,
)

_LINKS: dict[str, tuple[str, ...]] = {
    "text": ("In it, also mention {s}.", "Work in something about {s}.", "It should also say something about {s}."),
    "data": ("Then show how it works with example data about {s}.", "In its example, use data about {s}."),
    "code": (
        "Then make up a similar task about {s}, and solve it too.",
        "Then set and solve a similar task about {s}.",
    ),
    "sum": ("Then make up a similar problem about {s}, and solve it too.",),
    "input": (
        "Then make up another input of this kind about {s}, and do the same with it.",
        "Then do the same with a second input of this kind, which you write about {s}.",
        "Then invent one more input like this one, about {s}, and show the result for it too.",
    ),
    "plan": ("Make room in it for something about {s}.", "Plan in something that has to do with {s}."),
    "several": ("Then use all of them in a short story about {s}.",),
    "dish": ("Give it a name that has to do with {s}, and explain the name.",),
    "advice": ("Say too how {s} can help with it or get in the way of it.",),
    "answer": (
        "Make it clear by a comparison with {s}, and say where the comparison fails.",
        "Explain it to somebody who knows much about {s}, with a comparison from there.",
    ),
}
"""Each makes sense with any subject, for the model that names it knows nothing of the other task."""


def form(task: Instruction) -> str:
    """What kind of task it is: a key of the sentences, or "" where none of them suits it: a translation, a date."""
    text = task.instruction[:_START]
    code = _CODE.search(text) and (task.input or _MADE.search(text))
    for name, found in (
        ("data", code and not task.input and _DATA.search(text)),
        ("code", code),
        ("text", _TEXT.search(text) or _DESCRIBE.search(text)),
        ("sum", _CALCULATION.search(text) or _SUM.search(text)),
        ("several", _LISTED.fullmatch(task.input[:_START])),
        ("input", count_words(task.input) >= _WHOLE),
        ("dish", _DISH.search(text)),
        ("plan", _PLAN.search(text)),
        ("several", _SEVERAL.search(text)),
        ("advice", _ADVICE.search(text)),
        ("answer", _EXPLAIN.search(text)),
    ):
        if found:
            return name
    return ""


def is_formal(source: Instruction, task: Instruction) -> bool:
    """Whether `source` is a program or a bare calculation, and `task` no program: such subjects fit nothing else."""
    bare = form(source) in ("data", "code") or _CALCULATION.search(source.instruction) is not None
    return bare and form(task) != "code"


_TIED = re.compile(
    "|".join(re.escape(link).replace(r"\{s\}", r"[^.\n]{1,100}") for links in _LINKS.values() for link in links)
)


def is_tied(instruction: str) -> bool:
    """Whether `instruction` has such a sentence already: a second one would only be more of the same."""
    return _TIED.search(instruction) is not None


def tie(task: Instruction, subject: str, source: Instruction, draw: str) -> str:
    """`task`'s instruction with a sentence that brings in `subject`, in a wording that the parents and `draw` choose.

    It does not begin as the task does: "Explain … Explain …".
    """
    first = task.instruction.split(maxsplit=1)[0]
    links = [link for link in _LINKS[form(task)] if not link.startswith(first)] or list(_LINKS[form(task)])
    digest = hashlib.sha256(f"{task.id}\x1f{source.id}\x1f{draw}".encode()).digest()
    return append_sentence(task.instruction, links[digest[0] % len(links)].format(s=subject))

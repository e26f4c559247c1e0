"""Fusion with a small model: it names what one task is about, and code gives that subject to the other task.

A model of a hundred million parameters, or of a billion, cannot merge two tasks: it joins them by "and", or drops one.
What it does well is to say in a few words what a task is about.
"""

from __future__ import annotations

import re

from evoagent import Instruction
from evoagent_fusion.words import content, count_words, without_kin

MAX_TOKENS = 40
STOP = ("\n",)

_SYSTEM = "You name the topic of a task in two or three words. You never do the task."
_USER = "Task: {}\nWhat is it about?"
_OPENING = "It is about "
_EXAMPLES = (
    ("Write a short poem about the sea.", "the sea"),
    ("Name some famous inventions.", "famous inventions"),
    ("How can I sleep better at night?", "better sleep"),
    ("Plan a day in the mountains for a class of children.", "children in the mountains"),
    ("Make a shopping list for a birthday party.", "a birthday party"),
    ("Which sport should I start with?", "sport for beginners"),
    ("Write a letter to my landlord about the broken heating.", "broken heating"),
    ("Why do cats purr?", "purring cats"),
    ("Write a function that sorts a list of names.", "sorted names"),
    ("A farmer has 12 cows and sells 5 of them. How many are left?", "a farmer with cows"),
    ("Give me five tips for a job interview.", "job interviews"),
    ("Describe to a child how bread is baked.", "the baking of bread"),
)
_MAX_TASK = 600  # characters of a task that are shown: its subject is named early, and a long prompt costs

_OUTSIDE = re.compile(
    r"(?<![\w-])(?:given|following|above|below|this|these|those|not|i|me|you|your)(?![\w-])|[?:;\n\"“”<>{}\[\]|=*`\d]",
    re.IGNORECASE,
)
_NO_TOPIC_WORDS = """
ask answer as at be can could do does find for from give how if in is it make no of on should that then there to was
were what when where whether which who why will with would yes
"""
_NO_TOPIC = frozenset(_NO_TOPIC_WORDS.split())
_LIST = re.compile(r"^(?:a|the) (?:list|set|number|couple) of ", re.IGNORECASE)


def messages(task: Instruction) -> list[dict[str, str]]:
    """The chat that asks for the subject of `task`."""
    chat = [{"role": "system", "content": _SYSTEM}]
    for example, subject in _EXAMPLES:
        chat.append({"role": "user", "content": _USER.format(example)})
        chat.append({"role": "assistant", "content": f"{_OPENING}{subject}."})
    return [*chat, {"role": "user", "content": _USER.format(" ".join(task.instruction.split())[:_MAX_TASK])}]


def subject(reply: str, source: Instruction, task: Instruction, max_words: int) -> tuple[str, str | None]:
    """The topic in `reply`, and None; or "" and why it cannot be given to `task`."""
    text = " ".join(reply.split())
    if not text.startswith(_OPENING):
        return "", f"the reply does not begin with {_OPENING.strip()!r}"
    text = _LIST.sub("", text.removeprefix(_OPENING).strip(" .,!"))
    first = text.split(" ", 1)[0].lower()
    found = content(text)
    if not found:
        return "", f"{text[:40]!r} is no topic"
    if count_words(text) > max_words:
        return "", f"the topic has {count_words(text)} words, more than {max_words}"
    outside = _OUTSIDE.search(text)
    if first in _NO_TOPIC or ". " in text or outside:
        return "", f"{text[:40]!r} is no topic that another task could have"
    if foreign := without_kin(found, content(source.instruction)):
        return "", f"the topic has words that its parent has not: {', '.join(sorted(foreign))}"
    if not without_kin(found, content(task.prompt_text)):
        return "", "the other parent is about that already"
    return text[0].lower() + text[1:] if first in ("the", "a", "an") else text, None

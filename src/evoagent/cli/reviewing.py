"""evoagent run --review: asking a person at the terminal, one candidate at a time."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import Any

import click

from evoagent.cli.terminal import tell
from evoagent.graph.review import MAX_CHARACTERS
from evoagent.text import CUT

LINES = 9  # of one text

WORDS = {
    "keep": "keep",
    "reject": "reject",
    "edit": "edit",
    "pass": "pass",
    "show": "show",
    "all": "rest",
    "quit": "quit",
}
KEYS = WORDS | {word[0]: choice for word, choice in WORDS.items()}
LEGEND = "[k]eep  [r]eject  [e]dit  [p]ass: the rules decide  [s]how in full  [a]ll the rest to the rules  [q]uit"


def ask(question: dict[str, Any]) -> Any:
    """The answer to one question of the graph. The question goes to standard error, as progress does.

    Raises:
        KeyboardInterrupt: the person leaves, or standard input ends; what is decided is kept.
    """
    for problem in question.get("problems", ()):
        tell(f"  {problem}")
    decisions: dict[str, Any] = {}
    for number, candidate in enumerate(question["candidates"], question["from"]):
        tell(f"\n{render(candidate, question['round'], number, question['of'])}\n{LEGEND}")
        decision = _decide(candidate, question["round"], number, question["of"])
        if decision == "rest":
            return decisions or "rest"
        decisions[candidate["id"]] = decision
    return decisions


def _decide(candidate: dict[str, Any], round: int, number: int, total: int) -> Any:
    while True:
        choice = KEYS.get(_line("> ").strip().lower())
        if choice == "quit":
            raise KeyboardInterrupt
        if choice in ("keep", "pass", "rest"):
            return choice
        if choice == "reject":
            return {"decision": "reject", "reason": _line("reason: ").strip()[:2000]}
        if choice == "edit":
            text = _edited(candidate["evolved"])
            if len(text) > MAX_CHARACTERS:
                tell(f"found {len(text):,} characters, expected at most {MAX_CHARACTERS:,}")
            elif not text or text == candidate["evolved"].strip():
                tell("nothing changed")
            else:
                return {"decision": "edit", "instruction": text}
        elif choice == "show":
            tell(render(candidate, round, number, total, full=True))
        else:
            tell(LEGEND)


def _edited(text: str) -> str:
    if sys.stdin.isatty() and CUT not in text:  # an editor would be given a text that was cut
        try:
            return (click.edit(text, extension=".txt") or "").strip()
        except click.ClickException as error:
            tell(error.format_message())
    return _line("new instruction: ").strip()


def _line(prompt: str) -> str:
    tell(prompt, end="")
    line = sys.stdin.readline()
    if not line:
        raise KeyboardInterrupt  # nobody is there to answer
    return line


def render(candidate: dict[str, Any], round: int, number: int, total: int, *, full: bool = False) -> str:
    """One candidate with its parent, response and scores; of long texts the start and the end, if not `full`."""
    scores = "  ".join(f"{name} {value:.3g}" for name, value in candidate["scores"].items() if value is not None)
    lines = [f"round {round}, {number} of {total}: {candidate['operator']}  {scores}".rstrip()]
    for name in ("parent", "evolved", "input", "response"):
        if candidate[name]:
            lines += _wrapped(name, candidate[name], full)
    return "\n".join(lines)


def _wrapped(name: str, text: str, full: bool) -> list[str]:
    width = max(shutil.get_terminal_size((100, 24)).columns - 12, 40)
    lines = [part for line in text.splitlines() for part in textwrap.wrap(line, width) or [""]]
    if len(lines) > LINES and not full:
        lines = [*lines[: LINES // 3], "[…]", *lines[-(LINES - LINES // 3) :]]
    return [f"  {'' if number else name:<9} {line}" for number, line in enumerate(lines)]

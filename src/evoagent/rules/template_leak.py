"""Rule against words of the prompt that leak into the instruction (WizardLM's fourth)."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from evoagent.config.model import Strict
from evoagent.config.resources import prompts_dir
from evoagent.errors import ConfigError
from evoagent.models.roles import Models
from evoagent.prompts.front_matter import front_matter
from evoagent.records import KEEP, Candidate, Instruction, Verdict
from evoagent.rules.base import Rule
from evoagent.rules.surface import compared
from evoagent.text import longest_copy, normalise, words

PHRASES = (
    "given prompt",
    "given task",
    "given instruction",
    "original prompt",
    "original task",
    "original instruction",
    "rewritten prompt",
    "rewritten task",
    "rewritten instruction",
    "rewritten version",
    "rewrite the prompt",
    "rewrite the task",
    "rewrite this task",
    "rewrite the instruction",
    "rewrite this instruction",
    "evolved prompt",
    "evolved task",
    "evolved instruction",
    "new prompt",
    "new instruction",
    "created prompt",
    "harder version",
    "add one requirement",
    "one more requirement",
    "task from a dataset",
)
"""What evolvers copy out of prompts that ask them to rewrite, as normalised words."""


class TemplateLeakConfig(Strict):
    """Parameters of `template_leak`. What the parent says itself is never a leak."""

    phrases: tuple[str, ...] = Field(PHRASES, description="Phrases that only a prompt to an evolver has.")
    copied_words: int = Field(
        3,
        ge=2,
        description="A run of words out of a worked example of the operators' prompts is a copy if this many of its "
        "words stand in no other example: what they have in common is the pattern that is asked for.",
    )
    copied_prompt_words: int = Field(5, ge=3, description="A run of this many words out of a prompt itself is a copy.")
    prompts: str | None = Field(
        None, description="Folder of the operators' prompt files; null for those that come with evoagent."
    )


class TemplateLeak(Rule):
    """Rejects instructions that hold words of the template, or a long copy of a worked example."""

    def __init__(self, config: TemplateLeakConfig | None = None) -> None:
        self.config = config or TemplateLeakConfig()
        self._phrases = [normalise(phrase) for phrase in self.config.phrases]
        self._folder = prompt_folder(self.config.prompts)
        self._examples: list[list[str]] = []
        self._common: frozenset[str] = frozenset()
        self._prompts: list[list[str]] = []

    async def prepare(self, seeds: Sequence[Instruction], models: Models) -> None:
        """Read the worked examples.

        Raises:
            ConfigError: a prompt file is broken.
        """
        await asyncio.to_thread(self._read)

    def _read(self) -> None:
        # Every reply has to begin with the opening, so that is no copy.
        folder = self._folder or prompts_dir()
        self._prompts = [words(_TEMPLATE.sub(" ", front_matter(path).body)) for path in prompt_files(folder)]
        found = {found.text.removeprefix(found.opening) for found in worked_examples(folder)}
        self._examples = [words(text) for text in sorted(found)]
        counts = Counter(word for example in self._examples for word in set(example))
        self._common = frozenset(word for word, count in counts.items() if count > 1)

    async def judge(self, candidate: Candidate, models: Models) -> Verdict:
        """The figure is the number of leaked phrases, or of words copied in a run."""
        # An input that is the parent's has no leak, and may be long.
        text, parent = words(compared(candidate)[0]), words(candidate.parent.prompt_text)
        own, theirs = f" {' '.join(text)} ", f" {' '.join(parent)} "
        leaked = [phrase for phrase in self._phrases if f" {phrase} " in own and f" {phrase} " not in theirs]
        if leaked:
            return Verdict(False, "template_leak", len(leaked), 1, f"says {', '.join(leaked)}")
        limit = self.config.copied_words
        vocabulary = set(text) - self._common
        for example in self._examples:
            if sum(word in vocabulary for word in example) < limit:
                continue
            copied = longest_copy(text, example, self._common)
            if copied >= limit and copied > longest_copy(parent, example, self._common):
                return Verdict(False, "template_leak", copied, limit, f"copies the example {' '.join(example)[:80]!r}")
        limit, nothing = self.config.copied_prompt_words, frozenset[str]()
        for prompt in self._prompts:
            copied = longest_copy(text, prompt, nothing)
            if copied >= limit and copied > longest_copy(parent, prompt, nothing):
                return Verdict(False, "template_leak", copied, limit, "copies the words of a prompt")
        return KEEP


_TEMPLATE = re.compile(r"\{[{%][^}]{0,200}[}%]\}")


def prompt_folder(path: str | None) -> Path | None:
    """The folder that a rule's parameter `prompts` names.

    Raises:
        ConfigError: there is no such folder.
    """
    if path is None:
        return None
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"prompts: found no folder {folder}, expected one with the operators' prompt files")
    return folder


def prompt_files(folder: Path) -> list[Path]:
    """The operators' prompt files in `folder`."""
    return [path for path in sorted(folder.glob("*.md")) if path.name != "README.md"]


class WorkedText(NamedTuple):
    """A text of a worked example, the key that it stands under, and what every reply of its kind begins with."""

    text: str
    key: str
    opening: str


def worked_examples(folder: Path) -> Iterator[WorkedText]:
    """The texts of the worked examples in `folder`'s prompt files."""
    for path in prompt_files(folder):
        examples: Any = front_matter(path).head.get("examples")
        if not isinstance(examples, dict) or not isinstance(examples.get("pairs"), list):
            continue
        opening = str(examples.get("opening") or "")
        for pair in examples["pairs"]:
            if isinstance(pair, dict):
                yield from (WorkedText(str(text), str(key), opening) for key, text in pair.items() if text)

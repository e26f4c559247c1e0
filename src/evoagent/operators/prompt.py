"""The operator that a prompt file is: fill the prompt, generate, take the instruction out of the completion."""

from __future__ import annotations

from evoagent.models.roles import Models
from evoagent.operators.base import Operator
from evoagent.operators.extraction import Extraction, extract
from evoagent.prompts.prompt_file import Examples, PromptFile
from evoagent.records import Evolution, Instruction
from evoagent.text import normalise, words

_SPARE_TOKENS = 96  # what an evolution may add to its parent
_DOCUMENT_TOKENS = 256  # of an instruction for a document
_SPARE_INPUT_TOKENS = 384  # and to its input, where it writes a table or code


class PromptOperator(Operator):
    """Evolves by one prompt file, in the style that suits the evolver."""

    def __init__(self, file: PromptFile) -> None:
        self.file = file
        self.prompt_hash = file.prompt_hash

    async def evolve(self, parent: Instruction, models: Models) -> Evolution:
        """Ask for one evolution of `parent`; raises as `Role.generate` does."""
        if refusal := self.file.refusal(parent):
            return Evolution("", reason=refusal)
        style = models.evolver.style
        examples = self.file.head.examples if style == "examples" else None
        completion = await models.evolver.generate(
            self.file.messages(parent, style),
            max_tokens=min(models.evolver.max_tokens, self._most_tokens(parent, examples)),
            stop=examples.stop if examples is not None else (),
        )
        found = extract(completion.text, with_input=self.file.head.input == "write" and examples is None)
        if examples is not None:
            evolution = compose(parent, found, examples)
        else:
            evolution = Evolution(found.instruction, found.input, found.reason)
        return self._finished(evolution, completion.text, completion.finish_reason == "length")

    def _most_tokens(self, parent: Instruction, examples: Examples | None) -> int:
        """A bound that no real evolution needs, so that a runaway completion costs little.

        A token a character is four times the parent's length in English, and still its whole length in Chinese.
        """
        if examples is not None and examples.writes != "instruction":
            return _SPARE_TOKENS
        if parent.is_document and self.file.head.input != "write":
            return _DOCUMENT_TOKENS
        if self.file.head.input == "write":
            return len(parent.prompt_text) + _SPARE_TOKENS + _SPARE_INPUT_TOKENS
        return len(parent.instruction) + _SPARE_TOKENS

    def _finished(self, evolution: Evolution, raw: str, truncated: bool) -> Evolution:
        if not evolution.instruction:
            return Evolution("", None, evolution.reason, raw, truncated)
        input = {"keep": None, "drop": "", "write": evolution.input}[self.file.head.input]
        return Evolution(evolution.instruction, input, None, raw, truncated)


def compose(parent: Instruction, found: Extraction, examples: Examples) -> Evolution:
    """The evolution that a reply in the form of the worked examples makes of `parent`."""
    text = found.instruction
    if not text:
        return Evolution("", reason=found.reason)
    if not text.startswith(examples.opening):
        return Evolution("", reason=f"the reply does not begin with {examples.opening!r}")
    if examples.items:
        items = distinct_items(text.removeprefix(examples.opening))
        if examples.writes == "input":
            items = [item for item in items if len(item) > 2 and " " not in item and item[0].isalpha()]
        if len(items) < examples.items:
            return Evolution("", reason=f"the reply has {len(items)} different items, expected {examples.items}")
        if examples.writes == "input":
            text = f"{examples.opening} {', '.join(items)}"
    said = normalise(text)
    if said == normalise(examples.opening):
        return Evolution("", reason="the reply is only its opening")
    if any(said == normalise(examples.reply(pair)) for pair in examples.pairs):
        return Evolution("", reason="the reply is a copy of a worked example")
    if examples.writes == "instruction":
        return Evolution(text)
    if said in normalise(parent.prompt_text):
        return Evolution("", reason="the reply is in the parent already")
    if examples.writes == "addition":
        return Evolution(append_sentence(parent.instruction, text))
    instruction = parent.instruction
    if examples.lead not in instruction:
        instruction = append_sentence(instruction, examples.lead)
    return Evolution(instruction, f"{parent.input}\n\n{text}".strip())


def distinct_items(text: str) -> list[str]:
    """The items of a list with commas, without those that end as an earlier one: "the rain, then the rain"."""
    items: dict[str, str] = {}
    for item in text.strip().rstrip(".").split(","):
        if name := words(item)[-1:]:
            items.setdefault(name[0], item.strip())
    return list(items.values())


def append_sentence(instruction: str, sentence: str) -> str:
    """`instruction`, then `sentence`: a colon or nothing at its end becomes a full stop."""
    base = instruction.rstrip()
    if base.endswith(":"):
        base = f"{base[:-1].rstrip()}."
    elif base and (base[-1].isalnum() or base[-1] in ",;"):
        base = f"{base.rstrip(',;')}."
    return f"{base}{chr(10) if chr(10) in base else ' '}{sentence}"

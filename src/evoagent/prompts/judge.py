"""Judge prompts: one Markdown file each, with YAML front matter and a Jinja2 body."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from pydantic import Field, ValidationError

from evoagent.config.model import Strict
from evoagent.config.resources import prompts_dir
from evoagent.errors import ConfigError
from evoagent.prompts.chat import Message
from evoagent.prompts.front_matter import front_matter
from evoagent.prompts.rendering import check_prompt, render_prompt


class JudgePair(Strict):
    """A worked example: what fills the template, and the judge's reply."""

    values: dict[str, str]
    reply: str = Field(min_length=1)


class JudgePrompt(Strict):
    """A judge prompt.

    There is one form for judges of every size: worked examples, then the question in the same few words. Under a longer
    wording a judge of 1.5B parameters called every pair of tasks equal.

    Attributes:
        pairs: the worked examples.
        askings: templates of a user turn, wordings of one question; the file's body, set apart by lines of `---`.
    """

    name: str
    prompt_hash: str
    method: str
    source: str
    system: str = ""
    pairs: tuple[JudgePair, ...] = Field(min_length=1)
    askings: tuple[str, ...] = Field(min_length=1)

    def messages(self, values: Mapping[str, str], asking: int = 0) -> tuple[Message, ...]:
        """The chat that asks for a verdict on `values`.

        Args:
            values: texts under judgement, by the template's names; they are data, and are never read as template.
            asking: which wording, and how far the order of the worked examples is turned.
        """
        turn = asking % len(self.pairs)
        wording = self.askings[asking % len(self.askings)]
        chat = [*_turn("system", self.system)]
        for pair in (*self.pairs[turn:], *self.pairs[:turn]):
            chat += _turn("user", self._fill(wording, pair.values))
            chat += _turn("assistant", pair.reply)
        return (*chat, *_turn("user", self._fill(wording, values)))

    def _fill(self, wording: str, values: Mapping[str, str]) -> str:
        return render_prompt(wording, values, f"the judge prompt {self.name}")


@lru_cache(maxsize=16)
def load_judge(name: str) -> JudgePrompt:
    """The shipped judge prompt called `name`.

    Raises:
        ConfigError: it is missing or not valid; names the file and the key.
    """
    path = prompts_dir() / "judges" / f"{name}.md"
    file = front_matter(path)
    askings = [part.strip() for part in file.body.split("\n---\n")]
    try:
        prompt = JudgePrompt.model_validate({**file.head, "askings": askings, "prompt_hash": file.prompt_hash})
    except ValidationError as error:
        complaints = (f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ConfigError(f"{path}: {'; '.join(complaints)}") from error
    for wording in prompt.askings:
        check_prompt(wording, prompt.pairs[0].values, str(path))
    return prompt


def _turn(role: str, content: str) -> tuple[Message, ...]:
    return ({"role": role, "content": content},) if content else ()

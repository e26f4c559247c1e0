"""Judge prompts: one Markdown file each, with YAML front matter and a Jinja2 body."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment
from pydantic import Field, ValidationError

from evoagent.config import Strict
from evoagent.errors import ConfigError
from evoagent.models.requests import Message
from evoagent.resources import prompts_dir


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
            chat += _turn("user", _fill(wording, pair.values))
            chat += _turn("assistant", pair.reply)
        return (*chat, *_turn("user", _fill(wording, values)))


def front_matter(path: Path) -> tuple[dict[str, Any], str]:
    """The YAML head of a Markdown file, and its body.

    Raises:
        ConfigError: unreadable, or without a YAML mapping between two lines of `---`.
    """
    try:
        opening, _, rest = path.read_text(encoding="utf-8").partition("\n")
        head_text, fence, body = rest.partition("\n---\n")
        if opening.strip() != "---" or not fence:
            raise ConfigError(f"{path}: expected YAML front matter between two lines of `---`, then the prompt")
        head = yaml.safe_load(head_text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    if not isinstance(head, dict):
        raise ConfigError(f"{path}: front matter: expected keys and values, found {type(head).__name__}")
    return head, body.strip()


@lru_cache(maxsize=16)
def load_judge(name: str) -> JudgePrompt:
    """The shipped judge prompt called `name`.

    Raises:
        ConfigError: it is missing or not valid; names the file and the key.
    """
    path = prompts_dir() / "judges" / f"{name}.md"
    head, body = front_matter(path)
    try:
        return JudgePrompt.model_validate({**head, "askings": [part.strip() for part in body.split("\n---\n")]})
    except ValidationError as error:
        complaints = (f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ConfigError(f"{path}: {'; '.join(complaints)}") from error


_ENVIRONMENT = SandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


@lru_cache(maxsize=64)
def _template(source: str) -> Any:
    return _ENVIRONMENT.from_string(source)


def _fill(source: str, values: Mapping[str, str]) -> str:
    return str(_template(source).render(**values)).strip()


def _turn(role: str, content: str) -> tuple[Message, ...]:
    return ({"role": role, "content": content},) if content else ()

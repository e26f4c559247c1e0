"""A project's own operators: a folder of prompt files, without a line of Python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evoagent.plugins.builtins import prompt_operator
from evoagent.plugins.hookspecs import hookimpl
from evoagent.plugins.specs import OperatorSpec
from evoagent.prompts.prompt_file import load_prompt_dir


class PromptFolder:
    """A plugin made of the prompt files of one folder."""

    def __init__(self, folder: Path) -> None:
        """Read the files; raises `ConfigError` as `load_prompt_dir` does."""
        self._specs = [prompt_operator(file) for file in load_prompt_dir(folder)]

    @hookimpl
    def evoagent_operators(self) -> Iterator[OperatorSpec]:
        """One operator a file."""
        yield from self._specs

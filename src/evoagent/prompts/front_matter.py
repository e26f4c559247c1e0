"""Markdown files with a YAML head between two lines of `---`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from evoagent.config import yaml_text
from evoagent.errors import ConfigError
from evoagent.text import read_text

MAX_CHARACTERS = 1 << 20


class FrontMatter(NamedTuple):
    """A file's YAML head, its body, stripped, and the whole text that they were in."""

    head: dict[str, Any]
    body: str
    text: str

    @property
    def prompt_hash(self) -> str:
        """16 hex digits of the SHA-256 of the whole text."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]


def front_matter(path: Path) -> FrontMatter:
    """Read a Markdown file with a YAML head.

    Raises:
        ConfigError: unreadable, or without a YAML mapping between two lines of `---`; names the file, and the line.
    """
    text = read_text(path, MAX_CHARACTERS)
    opening, _, rest = text.partition("\n")
    head_text, fence, body = rest.partition("\n---\n")
    if opening.strip() != "---" or not fence:
        raise ConfigError(f"{path}: expected YAML front matter between two lines of `---`, then the prompt")
    try:
        head = yaml_text.parse(head_text).value
    except yaml_text.YamlError as error:
        flaws = "; ".join(f"line {flaw.line + 1}: {flaw.message}" for flaw in error.flaws)
        raise ConfigError(f"{path}: front matter: {flaws}") from error
    if not isinstance(head, dict):
        raise ConfigError(f"{path}: front matter: expected keys and values, found {type(head).__name__}")
    return FrontMatter(head, body.strip(), text)

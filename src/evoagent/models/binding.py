"""What serves a role: its engine, its sampling, and the style of its prompts."""

from __future__ import annotations

from dataclasses import dataclass

from evoagent.models.engines.base import Engine
from evoagent.models.requests import Sampling
from evoagent.prompts.chat import Style


@dataclass(frozen=True, slots=True)
class RoleBinding:
    """A role's engine, its sampling, and the prompt style that suits the model's size.

    Attributes:
        plugin: engine and distribution, for messages; "" for an engine that comes with evoagent.
    """

    engine: Engine
    sampling: Sampling = Sampling()
    style: Style = "plain"
    plugin: str = ""

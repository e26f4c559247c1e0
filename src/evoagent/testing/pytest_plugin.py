"""Fixtures for tests of plugins. pytest loads this module wherever evoagent is installed, so it imports nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from evoagent.plugins.manager import PluginManager
    from evoagent.testing.scripted import ScriptedModels


@pytest.fixture
def scripted_models() -> Iterator[Callable[..., ScriptedModels]]:
    """A function that makes `evoagent.testing.scripted_models`; they are closed after the test."""
    from evoagent.testing import scripted_models as make

    made: list[ScriptedModels] = []

    def models(*args: Any, **kwargs: Any) -> ScriptedModels:
        made.append(make(*args, **kwargs))
        return made[-1]

    yield models
    for item in made:
        item.close()


@pytest.fixture
def evoagent_manager() -> PluginManager:
    """The plugins that are installed, as a run would find them."""
    from evoagent.plugins.manager import PluginManager

    return PluginManager().load()

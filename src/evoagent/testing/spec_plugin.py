"""A plugin made of classes and specs, for those that are at hand without the hook that yields them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from evoagent.models.plugin import Plugin
from evoagent.plugins.hookspecs import hookimpl
from evoagent.plugins.specs import PluginSpec


class SpecPlugin:
    """Yields `items` by the hooks of their kinds."""

    def __init__(self, *items: PluginSpec | type[Plugin]) -> None:
        self._items = items

    def _of(self, kind: str) -> Iterator[Any]:
        return (item for item in self._items if item.kind == kind)

    @hookimpl
    def evoagent_operators(self) -> Iterable[Any]:
        """The operators among them."""
        return self._of("operator")

    @hookimpl
    def evoagent_scorers(self) -> Iterable[Any]:
        """The scorers among them."""
        return self._of("scorer")

    @hookimpl
    def evoagent_rules(self) -> Iterable[Any]:
        """The rules among them."""
        return self._of("rule")

    @hookimpl
    def evoagent_selectors(self) -> Iterable[Any]:
        """The selectors among them."""
        return self._of("selector")

    @hookimpl
    def evoagent_optimizers(self) -> Iterable[Any]:
        """The optimizers among them."""
        return self._of("optimizer")

    @hookimpl
    def evoagent_engines(self) -> Iterable[Any]:
        """The engines among them."""
        return self._of("engine")

    @hookimpl
    def evoagent_exporters(self) -> Iterable[Any]:
        """The exporters among them."""
        return self._of("exporter")

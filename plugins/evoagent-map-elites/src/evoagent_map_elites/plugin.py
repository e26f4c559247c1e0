"""The hook: what evoagent finds when it looks for plugins. pyribs loads when a selector is used."""

from __future__ import annotations

from collections.abc import Iterator

from evoagent import hookimpl
from evoagent_map_elites.selectors import GridSelector, MapElites, MapElitesTopics


@hookimpl
def evoagent_selectors() -> Iterator[type[GridSelector]]:
    """Both selectors."""
    yield from (MapElites, MapElitesTopics)

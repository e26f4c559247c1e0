"""The hook: what evoagent finds when it looks for plugins. pyribs loads when a selector is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from evoagent import SelectorSpec, hookimpl
from evoagent_map_elites.config import MapElitesConfig, MapElitesTopicsConfig

if TYPE_CHECKING:
    from evoagent import Selector


def _map_elites(config: MapElitesConfig) -> Selector:
    from evoagent_map_elites.selectors import MapElites

    return MapElites(config)


def _map_elites_topics(config: MapElitesTopicsConfig) -> Selector:
    from evoagent_map_elites.selectors import MapElitesTopics

    return MapElitesTopics(config)


@hookimpl
def evoagent_selectors() -> Iterator[SelectorSpec]:
    """Both selectors."""
    yield SelectorSpec(
        name="map-elites",
        factory=_map_elites,
        config=MapElitesConfig,
        summary="the best of each operator at each difficulty (MAP-Elites)",
    )
    yield SelectorSpec(
        name="map-elites-topics",
        factory=_map_elites_topics,
        config=MapElitesTopicsConfig,
        needs=("embedder.embed",),
        summary="the best of each topic at each difficulty (MAP-Elites)",
    )

"""The distribution as a user meets it: found, configured, checked, run."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import evoagent_map_elites.plugin
import pytest

from evoagent import UserError
from evoagent.testing import assert_valid_plugin, run_in_memory


@pytest.mark.parametrize("plugin", evoagent_map_elites.plugin.evoagent_selectors(), ids=lambda plugin: plugin.name)
def test_it_passes_the_authors_check(plugin: Any) -> None:
    assert_valid_plugin(plugin)


SELECTORS: list[Any] = [
    {"map-elites": {"difficulty": "length", "high": 60, "objective": "ic_ifd"}},
    {"map-elites-topics": {"difficulty": "length", "high": 60, "topics": 4}},
]


@pytest.mark.parametrize("selector", SELECTORS)
def test_a_run_selects_and_measures(selector: Any) -> None:
    options: dict[str, Any] = {
        "operators": ["constraints", "deepening"],
        "scorers": ["ifd", "ic_ifd", "length"],
        "selector": selector,
        "rounds": 3,
    }
    run = run_in_memory(**options)
    (name,) = selector
    assert run.survivors
    assert run.reasons[f"selector:{name}"]
    last = 0.0
    for figures in run.figures.values():
        assert 0 < figures[f"{name}.coverage"] <= 1
        assert figures[f"{name}.qd_score"] >= last
        assert figures[f"{name}.elites"] <= len(run.survivors)
        last = figures[f"{name}.qd_score"]
    assert run_in_memory(**options).figures == run.figures


def test_it_stops_at_so_many_survivors() -> None:
    run = run_in_memory(
        operators=["constraints", "deepening"],
        scorers=["ifd", "ic_ifd", "length"],
        selector=SELECTORS[0],
        config={"stop": {"rounds": 3, "survivors": 2}},
    )
    assert len(run.survivors) == 2


def test_a_wrong_parameter_is_named() -> None:
    with pytest.raises(UserError, match="low < high"):
        run_in_memory(selector={"map-elites": {"low": 1, "high": 0}})
    with pytest.raises(UserError, match="bins"):
        run_in_memory(selector={"map-elites-topics": {"bins": 0}})


def test_listing_loads_no_library() -> None:
    code = """
import sys, evoagent_map_elites.plugin
list(evoagent_map_elites.plugin.evoagent_selectors())
print([name for name in ("torch", "ribs", "sklearn", "scipy", "numba", "pandas") if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

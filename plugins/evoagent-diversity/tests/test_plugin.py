"""The distribution as a user meets it: found, configured, checked, run."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import evoagent_diversity.plugin
import pytest

from evoagent import UserError
from evoagent.testing import assert_valid_plugin, run_in_memory


@pytest.mark.parametrize("plugin", evoagent_diversity.plugin.evoagent_scorers(), ids=lambda plugin: plugin.name)
def test_it_passes_the_authors_check(plugin: Any) -> None:
    assert_valid_plugin(plugin)


def test_a_run_scores_and_measures() -> None:
    scorers: list[Any] = ["vendi", {"lexical": {"min_words": 8}}, "self_bleu"]
    run = run_in_memory(scorers=scorers, rounds=2)
    assert run.survivors
    for name in ("vendi", "lexical", "self_bleu"):
        assert len(run.scores[name]) == len(run.candidates)
    for figures in run.figures.values():
        assert 1 <= figures["vendi.score"] <= len(run.survivors)
        assert 0 <= figures["self_bleu.score"] <= 100
        assert 0 < figures["lexical.distinct_1"] <= figures["lexical.distinct_2"] <= 1
    assert run.figures[2]["vendi.score_per_row"] == pytest.approx(run.figures[2]["vendi.score"] / len(run.survivors))
    again = run_in_memory(scorers=scorers, rounds=2)
    assert again.figures == run.figures
    assert all(math.isfinite(score.value) for score in run.scores["vendi"] if score.value is not None)


def test_a_wrong_parameter_is_named() -> None:
    with pytest.raises(UserError, match="min_words"):
        run_in_memory(scorers=[{"lexical": {"min_words": 0}}])
    with pytest.raises(UserError, match="sampel"):
        run_in_memory(scorers=[{"self_bleu": {"sampel": 10}}])


def test_listing_loads_no_library() -> None:
    code = """
import sys, evoagent_diversity.plugin
list(evoagent_diversity.plugin.evoagent_scorers())
print([name for name in ("torch", "sacrebleu", "lexicalrichness", "matplotlib", "scipy") if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

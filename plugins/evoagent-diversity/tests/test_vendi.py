from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from evoagent_diversity.vendi import Vendi, contributions

from conftest import candidate, measure, score_all


def unit(rows: Any) -> Any:
    rows = np.asarray(rows, dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# Fewer rows than dimensions, and more: the two ways to the same eigenvalues.
@pytest.mark.parametrize(("count", "dimensions"), [(3, 8), (30, 8)])
def test_identical_rows_are_one(count: int, dimensions: int) -> None:
    found = contributions(unit(np.tile(np.arange(1, dimensions + 1), (count, 1))))
    assert found.score == pytest.approx(1)
    assert found.marginal == pytest.approx(np.zeros(count), abs=1e-6)


@pytest.mark.parametrize("copies", [1, 5])
def test_orthogonal_rows_are_as_many_as_they_are(copies: int) -> None:
    found = contributions(unit(np.tile(np.eye(7), (copies, 1))))
    assert found.score == pytest.approx(7)
    assert found.marginal == pytest.approx(np.zeros(7 * copies), abs=1e-6)


def test_two_twins_and_another_by_hand() -> None:
    # K/n has the eigenvalues 2/3 and 1/3.
    found = contributions(unit([[1, 0], [1, 0], [0, 1]]))
    entropy = 2 / 3 * math.log(3 / 2) + 1 / 3 * math.log(3)
    assert found.score == pytest.approx(math.exp(entropy))
    twin, other = math.log(3 / 2) - entropy, math.log(3) - entropy
    assert found.marginal == pytest.approx([twin, twin, other])
    assert twin < 0 < other


def test_two_rows_at_sixty_degrees_by_hand() -> None:
    # K = [[1, 1/2], [1/2, 1]], so K/n has the eigenvalues 3/4 and 1/4.
    found = contributions(unit([[1, 0], [0.5, math.sqrt(0.75)]]))
    assert found.score == pytest.approx((4 / 3) ** 0.75 * 4**0.25)


@pytest.mark.parametrize(("count", "dimensions"), [(12, 20), (90, 6)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_score_and_marginal_agree_with_the_reference(count: int, dimensions: int) -> None:
    from vendi_score import vendi

    vectors = unit(np.random.default_rng(1).normal(size=(count, dimensions)) + 0.7)
    found = contributions(vectors)
    kernel = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    assert found.score == pytest.approx(vendi.score_K(kernel), rel=1e-5)
    assert found.score == pytest.approx(vendi.score_dual(vectors.astype(np.float64)), rel=1e-5)
    assert found.marginal.mean() == pytest.approx(0, abs=1e-6)
    step = 1e-5
    for row in (0, count // 2):
        weights = np.full(count, (1 - step) / count)
        weights[row] += step
        less = np.full(count, (1 + step) / count)
        less[row] -= step
        slope = (math.log(vendi.score_K(kernel, p=weights)) - math.log(vendi.score_K(kernel, p=less))) / (2 * step)
        assert found.marginal[row] == pytest.approx(slope, abs=1e-3)


async def test_the_odd_one_out_adds_most(known: Any) -> None:
    models = known(a=[1, 0, 0], b=[0.9, 0.1, 0], c=[1, 0.1, 0], odd=[0, 0, 1])
    candidates = [candidate(number, text) for number, text in enumerate(["a", "b", "odd"])]
    scores = await score_all(Vendi(), candidates, [candidate(9, "c")], models)
    values = [score.value for score in scores]
    assert values[2] > 0 > max(values[0], values[1])
    assert scores[0].details["of"] == 4


async def test_the_dataset_is_measured(known: Any) -> None:
    models = known(a=[1, 0], b=[0, 1])
    figures = await measure(Vendi(), [candidate(0, "a"), candidate(1, "b"), candidate(2, "a")], models)
    assert figures["score"] == pytest.approx(1.8898816, abs=1e-6)
    assert figures["score_per_row"] == pytest.approx(figures["score"] / 3)
    assert await measure(Vendi(), [], models) == {}


async def test_a_text_that_the_embedder_refuses_costs_nobody_else(known: Any) -> None:
    models = known(a=[1, 0], b=[0, 1], zero=[0, 0])
    candidates = [candidate(number, text) for number, text in enumerate(["a", "too long", "b", "zero"])]
    scores = await score_all(Vendi(), candidates, [], models)
    assert [score.value is None for score in scores] == [False, True, False, True]
    assert "too long for the model" in scores[1].reason
    assert "direction" in scores[3].reason
    assert (await measure(Vendi(), candidates, models))["score"] == pytest.approx(2)


async def test_one_alone_has_no_score(known: Any) -> None:
    (score,) = await score_all(Vendi(), [candidate(0, "a")], [], known(a=[1, 0]))
    assert score.value is None
    assert score.reason == "there is no other instruction to compare with"
    assert await score_all(Vendi(), [], [], known()) == []


async def test_the_order_of_the_pool_does_not_matter(known: Any) -> None:
    texts = "abcdefgh"
    vectors = np.random.default_rng(2).normal(size=(8, 5))
    models = known(**dict(zip(texts, vectors.tolist(), strict=True)))
    candidates = [candidate(number, text) for number, text in enumerate(texts)]
    there = await score_all(Vendi(), candidates[:4], candidates[4:], models)
    back = await score_all(Vendi(), candidates[3::-1], candidates[:3:-1], models)
    assert [score.value for score in there] == pytest.approx([score.value for score in reversed(back)], abs=1e-8)

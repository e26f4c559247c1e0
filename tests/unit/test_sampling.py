"""Drawing tokens from logits."""

import numpy as np
import pytest
import torch

from evoagent.models.engines.packed.sampling import sample, uniforms


def draw_many(logits: torch.Tensor, temperature: float, top_p: float, count: int = 4000) -> np.ndarray:
    random = uniforms(7)
    rows = logits.expand(count, -1)
    tokens = sample(rows, [temperature] * count, [top_p] * count, [random.random() for _ in range(count)])
    return np.bincount(tokens, minlength=logits.shape[-1]) / count


def test_greedy_takes_the_lowest_of_equal_tokens():
    logits = torch.tensor([[0.0, 3.0, 3.0], [5.0, 1.0, 5.0]])
    assert sample(logits, [0, 0], [1, 1], [0.9, 0.9]) == [1, 0]


def test_frequencies_follow_the_softmax():
    logits = torch.tensor([1.0, 0.0, 2.0, -1.0])
    expected = torch.softmax(logits / 0.7, dim=-1).numpy()
    assert draw_many(logits, 0.7, 1.0) == pytest.approx(expected, abs=0.03)


def test_top_p_keeps_the_tokens_that_reach_it():
    logits = torch.log(torch.tensor([0.1, 0.5, 0.15, 0.25]))
    shares = draw_many(logits, 1.0, 0.7)
    assert shares == pytest.approx([0, 2 / 3, 0, 1 / 3], abs=0.03)


def test_tiny_top_p_is_greedy():
    logits = torch.randn(50, 1000, generator=torch.Generator().manual_seed(0))
    tokens = sample(logits, [1.0] * 50, [1e-6] * 50, list(np.linspace(0, 0.999, 50)))
    assert tokens == logits.argmax(-1).tolist()


def test_flat_distributions_reach_every_token():
    tokens = sample(torch.zeros(3, 5000), [1.0] * 3, [1.0, 0.99, 1.0], [0.0, 0.5, 1 - 1e-12])
    assert all(token is not None for token in tokens)
    assert len(set(tokens)) == 3


def test_long_vocabularies_agree_with_a_full_sort():
    logits = torch.randn(64, 3000, generator=torch.Generator().manual_seed(1)) * 3
    draws = [uniforms(i).random() for i in range(64)]
    tokens = sample(logits, [0.9] * 64, [0.9] * 64, draws)
    for row, (token, draw) in enumerate(zip(tokens, draws, strict=True)):
        probabilities, ids = torch.softmax(logits[row].double() / 0.9, dim=-1).sort(descending=True)
        mass = probabilities.cumsum(0)
        kept = int((mass < 0.9).sum()) + 1
        choice = int((mass[:kept] / mass[kept - 1] <= draw).sum())
        assert abs(ids.tolist().index(token) - choice) <= 1  # rounding may move a boundary by one


def test_a_row_does_not_depend_on_its_neighbours():
    logits = torch.randn(16, 2048, generator=torch.Generator().manual_seed(2)).bfloat16()
    draws = [uniforms(i).random() for i in range(16)]
    settings = [(0.0, 1.0), (0.7, 0.95), (1.5, 1.0), (1.0, 0.3)] * 4
    together = sample(logits, [t for t, _ in settings], [p for _, p in settings], draws)
    for row, (temperature, top_p) in enumerate(settings):
        assert sample(logits[row : row + 1], [temperature], [top_p], [draws[row]]) == [together[row]]


def test_rows_that_are_not_finite_have_no_token():
    logits = torch.tensor([[0.0, float("nan")], [float("-inf"), 1.0], [float("inf"), 0.0]])
    assert sample(logits, [1.0, 1.0, 0.0], [1.0] * 3, [0.5] * 3) == [None, 1, None]


def test_requests_with_equal_seeds_draw_equal_numbers():
    assert uniforms(2**63 - 1).random() == uniforms(2**63 - 1).random()
    assert uniforms(1).random() != uniforms(2).random()

"""Drawing tokens: each row by its own settings and its own random numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_SHORTLIST = 256


def uniforms(seed: int) -> np.random.Generator:
    """The random numbers of one request, from a counter-based generator: the same whatever else runs."""
    return np.random.Generator(np.random.Philox(key=seed))


def sample(
    logits: Tensor, temperatures: Sequence[float], top_ps: Sequence[float], draws: Sequence[float]
) -> list[int | None]:
    """Choose one token a row; None where a row's logits are not finite.

    Temperature 0 takes the likeliest token, of equals the lowest id. Else the token is the inverse of the cumulative
    distribution, likeliest tokens first, cut after the first token at which it reaches `top_p` and scaled to 1.

    Args:
        logits: shape (rows, vocabulary), any float type; may have more rows than `draws`.
        draws: one number in [0, 1) a row.
    """
    rows = len(draws)
    logits = logits[:rows].float()
    best = logits.argmax(dim=-1).tolist()
    finite = torch.isfinite(logits.amax(dim=-1)).tolist()
    tokens: list[int | None] = [token if ok else None for token, ok in zip(best, finite, strict=True)]
    drawn = [row for row in range(rows) if temperatures[row] > 0 and finite[row]]
    if not drawn:
        return tokens
    scale = torch.tensor([temperatures[row] for row in drawn], dtype=torch.float32, device=logits.device)
    probabilities = torch.softmax(logits[drawn] / scale[:, None], dim=-1)
    shortlist = torch.topk(probabilities, min(_SHORTLIST, probabilities.shape[-1]), dim=-1)
    masses = shortlist.values.double().cumsum(-1).cpu().numpy()
    ids = shortlist.indices.cpu().numpy()
    for index, row in enumerate(drawn):
        choice = _invert(masses[index], top_ps[row], draws[row])
        if choice is None:  # the shortlist does not reach far enough: sort the whole row
            whole = torch.sort(probabilities[index], descending=True, stable=True)
            mass = whole.values.double().cumsum(-1).cpu().numpy()
            choice = _invert(mass / mass[-1], top_ps[row], draws[row])
            choice = len(mass) - 1 if choice is None else choice
            tokens[row] = int(whole.indices[choice])
        else:
            tokens[row] = int(ids[index, choice])
    return tokens


def _invert(masses: np.ndarray[tuple[int], np.dtype[np.float64]], top_p: float, draw: float) -> int | None:
    """Position of the drawn token among tokens with cumulative `masses`; None if it may lie beyond them."""
    nucleus = 1.0
    if top_p < 1:
        last = int(np.searchsorted(masses, top_p))
        if last == len(masses):
            return None
        nucleus = float(masses[last])
    position = int(np.searchsorted(masses, draw * nucleus, side="right"))
    return position if position < len(masses) else None

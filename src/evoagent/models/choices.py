"""Choosing among answers by their losses, for engines that have no `choose` of their own."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence

from evoagent.errors import RequestError
from evoagent.models.requests import Choice, ChooseRequest, Loss, LossRequest


async def choose_by_loss(request: ChooseRequest, loss: Callable[[LossRequest], Awaitable[Loss]]) -> Choice:
    """Each answer in proportion to exp(-its loss), summed over its tokens as the reply to the chat.

    Args:
        loss: called once for each answer, all at once.

    Raises:
        RequestError: the tokens of an answer cannot be told from those of the prompt.
    """
    wanted = [LossRequest(choice, "", "", "chat", messages=request.messages) for choice in request.choices]
    losses = await asyncio.gather(*map(loss, wanted))
    for choice, found in zip(request.choices, losses, strict=True):
        if found.merged or not found.target_tokens:
            raise RequestError(f"the tokenizer joins the answer {choice!r:.60} to the prompt before it")
    return choice_by_weight(
        request, [-found.target_sum for found in losses], sum(found.prompt_tokens for found in losses)
    )


def choice_by_weight(request: ChooseRequest, logarithms: Sequence[float], prompt_tokens: int) -> Choice:
    """The answers in proportion to their weights, of which these are the logarithms; -inf stands for none."""
    highest = max(logarithms)
    weights = [math.exp(value - highest) for value in logarithms]
    total = sum(weights)
    return Choice(
        {choice: weight / total for choice, weight in zip(request.choices, weights, strict=True)}, prompt_tokens
    )

"""How a text is tokenised to be scored or continued: one convention for every engine.

Boundaries are counts of tokens: the part of a text before a boundary is tokenised on its own and its length
is the boundary (the reference's way to compute IFD). That is exact if those tokens are also the first of
the whole text; where they are not, a token straddles the boundary and the result is marked `merged`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from evoagent.errors import EngineError, RequestError
from evoagent.models.requests import GenerateRequest, Loss, LossRequest, Turns
from evoagent.prompts.rendering import RenderError, render_chat_template

PLACEHOLDER = "evoagent-placeholder-8d1f"


@dataclass(frozen=True, slots=True)
class ScoringIds:
    """A tokenised text with the spans that are scored, as positions in `ids`, ends excluded.

    Position 0 has no loss, so the scored positions are `target` and `context`, not the raw boundaries.

    Attributes:
        context_start, context_end: the context itself; in a chat, the user's text without the template around it.
        boundary: where the target begins; with a joiner that keeps its own token, that token is the target's first.
        merged: a token straddles one of the three, which is then approximate.
    """

    ids: list[int]
    context_start: int
    context_end: int
    boundary: int
    merged: bool

    @property
    def target(self) -> range:
        """Scored positions of the target."""
        return range(max(self.boundary, 1), len(self.ids))

    @property
    def context(self) -> range:
        """Scored positions of the context."""
        return range(max(self.context_start, 1), self.context_end)


@dataclass(frozen=True, slots=True)
class ScoringText:
    """The text that is scored, before tokenisation, with its boundaries in characters.

    Attributes:
        special: whether the tokenizer adds its own special tokens; a chat template has written them already.
    """

    text: str
    context_start: int
    context_end: int
    boundary: int
    special: bool

    @property
    def cuts(self) -> tuple[int, int, int]:
        """The three boundaries, in order."""
        return self.context_start, self.context_end, self.boundary


def scoring_text(request: LossRequest, render: Callable[[Turns], str]) -> ScoringText:
    """Lay out `request`: an empty context or target brings no joiner.

    Args:
        render: a chat in the chat template, up to where the reply begins. In a chat without context
            the user turn is empty, so that both losses of a ratio stand in the same frame.

    Raises:
        RequestError: the template rewrites the user's text, whose tokens then cannot be told apart.
    """
    if request.messages:
        prompt = render(request.messages)
        return ScoringText(prompt + request.target, len(prompt), len(prompt), len(prompt), special=False)
    if request.convention == "chat":
        prompt = render(user_turn(request.context))
        start, end = _user_span(prompt, request.context, render)
        return ScoringText(prompt + request.target, start, end, len(prompt), special=False)
    joiner = request.joiner if request.context and request.target else ""
    size = len(request.context)
    return ScoringText(request.context + joiner + request.target, 0, size, size, special=True)


def user_turn(content: str) -> Turns:
    """The chat that a context stands for."""
    return (("user", content),)


def cut_ids(ids: list[int], prefixes: Sequence[list[int]]) -> ScoringIds:
    """Put boundaries into `ids`, the tokens of the whole text.

    Args:
        prefixes: the tokens of the text before each of `ScoringText.cuts`; empty for an empty text.
    """
    start, end, boundary = (min(len(prefix), len(ids)) for prefix in prefixes)
    exact = all(ids[: len(prefix)] == prefix for prefix in prefixes)
    return ScoringIds(list(ids), start, end, boundary, merged=not exact)


def scoring_ids(tokenizer: Any, request: LossRequest) -> ScoringIds:
    """Tokenise `request` with a tokenizer of transformers.

    Raises:
        EngineError: the convention is "chat" and the tokenizer has no chat template.
        RequestError: the chat template refuses or rewrites the user's text.
    """
    layout = scoring_text(request, lambda turns: render_chat(tokenizer, turns))
    whole = tokenize(tokenizer, layout.text, special=layout.special)
    known = {0: [], len(layout.text): whole}
    for cut in layout.cuts:
        if cut not in known:
            known[cut] = tokenize(tokenizer, layout.text[:cut], special=layout.special, trailing=False)
    return cut_ids(whole, [known[cut] for cut in layout.cuts])


def prompt_ids(tokenizer: Any, request: GenerateRequest) -> list[int]:
    """Tokenise the prompt of `request`: a chat up to where the reply begins, or a plain text.

    Raises:
        EngineError: a chat is asked for and the tokenizer has no chat template.
        RequestError: the chat template refuses the turns, or there is no token to continue from.
    """
    if request.messages:
        ids = tokenize(tokenizer, render_chat(tokenizer, request.messages), special=False)
    else:
        ids = tokenize(tokenizer, request.text, special=True, trailing=False)
    if not ids:
        raise RequestError("the prompt is empty: expected messages or a text")
    return ids


def tokenize(tokenizer: Any, text: str, *, special: bool, trailing: bool = True) -> list[int]:
    """Token ids of `text`; without `trailing`, special tokens that the tokenizer appends (an EOS) are left out."""
    if not special:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])
    if trailing:
        return list(tokenizer(text)["input_ids"])
    encoded = tokenizer(text, return_special_tokens_mask=True)
    ids, mask = list(encoded["input_ids"]), encoded["special_tokens_mask"]
    end = len(ids)
    while end and mask[end - 1] and text:
        end -= 1
    return ids[:end]


def render_chat(tokenizer: Any, messages: Sequence[tuple[str, str]], *, reply: bool = True) -> str:
    """The chat as the model reads it.

    Args:
        reply: end where the model's reply begins, and not after the last turn.

    Raises:
        EngineError: the tokenizer has no chat template, or one that is not valid or does not end.
        RequestError: the template refuses the turns, for example a system turn that the model does not know.
    """
    name = getattr(tokenizer, "name_or_path", "the model")
    if not getattr(tokenizer, "chat_template", None):
        raise EngineError(
            f"{name} has no chat template: expected an instruction-tuned model, or prompts and scores over plain text"
        )
    turns = [{"role": role, "content": content} for role, content in messages]
    try:
        if not _is_jinja(tokenizer):
            return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=reply))
        values = {"messages": turns, "tools": None, "documents": None, "add_generation_prompt": reply}
        where = f"the chat template of {name}"
        return render_chat_template(tokenizer.get_chat_template(), {**values, **tokenizer.special_tokens_map}, where)
    except RenderError as error:
        raise EngineError(str(error)) from error
    except Exception as error:  # a template is a program of the model's author and may raise anything
        roles = ", ".join(role for role, _ in messages)
        raise RequestError(f"the chat template refuses turns of {roles}: {error}") from error


def _is_jinja(tokenizer: Any) -> bool:
    """Whether chats are written by transformers, out of the template: a few tokenizers have code of their own."""
    return str(type(tokenizer).apply_chat_template.__module__) == "transformers.tokenization_utils_base"


def to_loss(scoring: ScoringIds, losses: Sequence[float | None], *, per_token: bool) -> Loss:
    """Sum the losses of the scored positions.

    Args:
        losses: nats for each position of `scoring.ids`; position 0 is never read.

    Raises:
        RequestError: a scored position has no loss.
    """
    target = [_value(losses, position) for position in scoring.target]
    context = [_value(losses, position) for position in scoring.context]
    return Loss(
        target_sum=sum(target, 0.0),
        target_tokens=len(target),
        context_sum=sum(context, 0.0),
        context_tokens=len(context),
        merged=scoring.merged,
        prompt_tokens=len(scoring.ids),
        tokens=tuple(target) if per_token else (),
    )


def _value(losses: Sequence[float | None], position: int) -> float:
    loss = losses[position] if position < len(losses) else None
    if loss is None or not math.isfinite(loss):
        raise RequestError(f"token {position} has log-likelihood {loss}; expected a finite one after the first token")
    return loss


def _user_span(prompt: str, content: str, render: Callable[[Turns], str]) -> tuple[int, int]:
    """Characters of the user's text in `prompt`, found by what the template writes around a placeholder.

    Searching for the text itself would find "assistant" in the template's own words.
    """
    before, found, after = render(user_turn(PLACEHOLDER)).partition(PLACEHOLDER)
    start, end = len(before), len(prompt) - len(after)
    framed = found and start <= end and prompt.startswith(before) and prompt.endswith(after)
    if not framed or prompt[start:end].strip() != content.strip():
        raise RequestError("the chat template rewrites the user's text, so its tokens cannot be scored apart")
    return start, end

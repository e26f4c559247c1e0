"""The one convention by which every engine tokenises what it scores."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pytest

from evoagent.errors import EngineError, RequestError
from evoagent.models.engines.scoring_text import cut_ids, prompt_ids, scoring_ids, to_loss
from evoagent.models.requests import GenerateRequest, LossRequest


class Letters:
    """A tokenizer of single letters, but for runs of line breaks, which are one token; optionally with BOS and EOS."""

    name_or_path = "letters"

    def __init__(self, *, bos: bool = False, eos: bool = False, template: str | None = "[{}]=") -> None:
        self.bos, self.eos, self.chat_template = bos, eos, template

    def __call__(self, text: str, add_special_tokens: bool = True, return_special_tokens_mask: bool = False) -> Any:
        ids = [sum(map(ord, piece)) for piece in re.findall(r"\n+|[^\n]", text)]
        before, after = ([1] if self.bos else []), ([2] if self.eos else [])
        if not add_special_tokens:
            before = after = []
        mask = [1] * len(before) + [0] * len(ids) + [1] * len(after)
        return {"input_ids": before + ids + after, "special_tokens_mask": mask}

    def apply_chat_template(self, turns: list[dict[str, str]], **_: Any) -> str:
        if turns[0]["role"] == "system":
            raise ValueError("no system turn")
        assert self.chat_template is not None
        return "".join(self.chat_template.format(turn["content"]) for turn in turns)


def spans(tokenizer: Letters, request: LossRequest) -> tuple[str, str, bool]:
    scoring = scoring_ids(tokenizer, request)
    text = ["<" if id in (1, 2) else chr(id) if id != 20 else "\n\n" for id in scoring.ids]
    return "".join(text[i] for i in scoring.context), "".join(text[i] for i in scoring.target), scoring.merged


@pytest.mark.parametrize(
    ("context", "target", "scored"),
    [
        ("abc", "xy", ("bc", "\nxy", False)),
        ("", "xy", ("", "y", False)),  # no joiner without a context
        ("abc", "", ("bc", "", False)),  # nor without a target: an empty answer has no loss
        ("", "", ("", "", False)),
        ("", "x", ("", "", False)),
        ("a", "x", ("", "\nx", False)),
        ("abc\n", "xy", ("bc\n\n", "xy", True)),  # the joiner has grown together with the context's last token
    ],
)
def test_raw_spans(context: str, target: str, scored: tuple[str, str, bool]) -> None:
    assert spans(Letters(), LossRequest(target, context)) == scored


def test_a_bos_lets_the_first_letter_be_scored() -> None:
    assert spans(Letters(bos=True), LossRequest("xy", "abc")) == ("abc", "\nxy", False)
    assert spans(Letters(bos=True), LossRequest("xy")) == ("", "xy", False)


def test_an_eos_that_the_tokenizer_appends_does_not_move_the_boundary() -> None:
    assert spans(Letters(bos=True, eos=True), LossRequest("xy", "abc")) == ("abc", "\nxy<", False)
    assert prompt_ids(Letters(eos=True), GenerateRequest(text="a")) == [ord("a")]


def test_in_a_chat_only_the_users_own_words_are_context() -> None:
    assert spans(Letters(), LossRequest("xy", "=", convention="chat")) == ("=", "xy", False)
    assert spans(Letters(), LossRequest("xy", convention="chat")) == ("", "xy", False)
    assert spans(Letters(template="{}>"), LossRequest("xy", "abc", convention="chat")) == ("bc", "xy", False)


def test_of_a_whole_chat_only_the_reply_is_scored() -> None:
    chat = (("user", "ab"), ("assistant", "c"), ("user", "d"))
    request = LossRequest("xy", "", "", "chat", messages=chat)
    assert spans(Letters(), request) == ("", "xy", False)
    assert len(scoring_ids(Letters(), request).ids) == len("[ab]=[c]=[d]=xy")
    assert spans(Letters(template="{}\n"), replace(request, target="\nx")) == ("", "x", True)


def test_templates_that_cannot_be_used_say_so() -> None:
    chat = LossRequest("xy", "abc", convention="chat")
    with pytest.raises(EngineError, match="letters has no chat template"):
        scoring_ids(Letters(template=None), chat)
    with pytest.raises(RequestError, match="rewrites"):
        scoring_ids(Letters(template="nothing of it"), chat)
    with pytest.raises(RequestError, match="no system turn"):
        prompt_ids(Letters(), GenerateRequest(messages=(("system", "a"), ("user", "b"))))
    with pytest.raises(RequestError, match="empty"):
        prompt_ids(Letters(), GenerateRequest())


def test_losses_are_summed_over_what_is_scored_and_never_nan() -> None:
    scoring = cut_ids([5, 6, 7, 8], [[], [5, 6], [5, 6]])
    loss = to_loss(scoring, [None, 1.0, 2.0, 4.0], per_token=True)
    assert (loss.mean, loss.context_mean, loss.tokens, loss.merged) == (3.0, 1.0, (2.0, 4.0), False)
    for bad in (None, math.nan, math.inf):
        with pytest.raises(RequestError, match="token 2"):
            to_loss(scoring, [None, 1.0, bad, 4.0], per_token=False)


def test_a_boundary_that_falls_inside_a_token_is_marked() -> None:
    assert cut_ids([5, 6, 7], [[], [5, 9], [5, 9]]).merged
    assert cut_ids([5], [[], [5, 9], [5, 9]]).boundary == 1

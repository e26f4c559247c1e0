"""Models as a plugin sees them: a role for each use, its verbs, and what a call may draw from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

from evoagent.models.pools import Corpora, Pool, Sources
from evoagent.models.requests import (
    Choice,
    ChooseRequest,
    Completion,
    Embedding,
    EmbedRequest,
    GenerateRequest,
    Loss,
    LossRequest,
    Sampling,
    Scope,
    Turns,
)
from evoagent.prompts.chat import Message, Style

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Answering(Protocol):
    """Who answers on behalf of roles: the dispatcher of a run, or one that records in a test."""

    @property
    def run_seed(self) -> int:
        """Of the run's randomness."""

    def sampling(self, role: str) -> Sampling:
        """The configured sampling of `role`."""

    def style(self, role: str) -> Style:
        """The prompt style of `role`."""

    @overload
    async def submit(self, role: str, request: GenerateRequest, scope: Scope) -> Completion: ...
    @overload
    async def submit(self, role: str, request: LossRequest, scope: Scope) -> Loss: ...
    @overload
    async def submit(self, role: str, request: EmbedRequest, scope: Scope) -> Embedding: ...
    @overload
    async def submit(self, role: str, request: ChooseRequest, scope: Scope) -> Choice: ...
    async def submit(self, role: str, request: Any, scope: Scope) -> Any:
        """The answer to `request`."""


class Role:
    """One role's model. Every verb awaits the dispatcher, which batches, logs, retries and counts."""

    def __init__(self, name: str, dispatcher: Answering, scope: Scope) -> None:
        self._name = name
        self._dispatcher = dispatcher
        self._scope = scope
        self._draws = 0

    @property
    def style(self) -> Style:
        """The prompt style that suits the model: worked examples below about a billion parameters."""
        return self._dispatcher.style(self._name)

    @property
    def max_tokens(self) -> int:
        """The longest completion that the configuration allows."""
        return self._dispatcher.sampling(self._name).max_tokens

    async def generate(
        self,
        prompt: str | Sequence[Message],
        *,
        examples: Mapping[str, str] | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
    ) -> Completion:
        """Complete `prompt`: a user turn, or a whole chat. What is not given comes from the role's configuration.

        Args:
            examples: earlier turns, user's to model's: worked examples, without which a tiny model rarely understands.

        Raises:
            RequestError: the model cannot answer this prompt.
        """
        sampling = self._dispatcher.sampling(self._name)
        changes = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
        sampling = replace(sampling, stop=tuple(stop), **{k: v for k, v in changes.items() if v is not None})  # type: ignore[arg-type]
        draw = ""
        if sampling.temperature > 0:
            draw = f"{self._scope.draw}#{self._draws}"
            self._draws += 1
        request = GenerateRequest(messages=_turns(prompt, examples or {}), sampling=sampling, draw=draw)
        return await self._dispatcher.submit(self._name, request, self._scope)

    async def loss(
        self,
        *,
        target: str,
        context: str = "",
        joiner: str = "\n",
        convention: Literal["raw", "chat"] = "raw",
        per_token: bool = False,
    ) -> Loss:
        """Negative log-likelihood of `target` after `context`; see `LossRequest` for the conventions."""
        request = LossRequest(
            target=target, context=context, joiner=joiner if context else "", convention=convention, per_token=per_token
        )
        return await self._dispatcher.submit(self._name, request, self._scope)

    async def choose(
        self,
        prompt: str | Sequence[Message],
        choices: Sequence[str],
        *,
        examples: Mapping[str, str] | None = None,
    ) -> Choice:
        """How likely the model is to reply with each of `choices`, compared with the others.

        An answer counts with all of its tokens, and whatever would come after it; so one that another begins with is
        never the less likely of the two. Engines that can compute losses are asked for the loss of each answer as the
        reply; a server tells by the first token, see engine `openai`.

        Args:
            prompt: as in `generate`, like `examples`.
            choices: 2 to 64 different texts that are not empty.

        Raises:
            RequestError: the model cannot tell.
        """
        if isinstance(choices, str):
            raise TypeError(f"choices: found the text {choices!r:.60}, expected several")
        request = ChooseRequest(_turns(prompt, examples or {}), tuple(choices))
        return await self._dispatcher.submit(self._name, request, self._scope)

    async def embed(self, text: str) -> NDArray[np.float32]:
        """The unit vector of `text`, shape (dimensions,)."""
        return (await self._dispatcher.submit(self._name, EmbedRequest(text), self._scope)).vector


def _turns(prompt: str | Sequence[Message], examples: Mapping[str, str]) -> Turns:
    chat: Sequence[Message] = ({"role": "user", "content": prompt},) if isinstance(prompt, str) else prompt
    return tuple((turn["role"], turn["content"]) for turn in _with_examples(chat, examples))


def _with_examples(chat: Sequence[Message], examples: Mapping[str, str]) -> list[Message]:
    """`chat` with `examples` as turns behind its system turn."""
    first = next((number for number, turn in enumerate(chat) if turn["role"] != "system"), len(chat))
    worked: list[Message] = []
    for asked, answered in examples.items():
        worked += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    return [*chat[:first], *worked, *chat[first:]]


class Models:
    """The roles of a run, as handed to one call of a plugin, and what the call may draw from.

    Five roles are attributes; those and any that the configuration names besides are found by name: `models["second"]`.
    """

    def __init__(self, dispatcher: Answering, scope: Scope | None = None, sources: Sources | None = None) -> None:
        self._named: dict[str, Role] = {}
        self._dispatcher = dispatcher
        self._scope = scope or Scope()
        self._sources = sources or Sources()

    @cached_property
    def pool(self) -> Pool:
        """The other members of this round's population, for an operator to draw from; for others it is empty."""
        return Pool(self._sources.pool, f"{self._call}:pool", self._scope.parents)

    @cached_property
    def corpora(self) -> Corpora:
        """The configuration's corpora by name, to draw from."""
        rows = self._sources.corpora.items()
        return Corpora({name: Pool(each, f"{self._call}:corpora.{name}") for name, each in rows})

    @property
    def _call(self) -> str:
        return f"{self.draw}:{','.join(self._scope.parents)}"

    @property
    def evolver(self) -> Role:
        """The role that writes instructions."""
        return self["evolver"]

    @property
    def responder(self) -> Role:
        """The role that answers them."""
        return self["responder"]

    @property
    def judge(self) -> Role:
        """The role that is asked for an opinion."""
        return self["judge"]

    @property
    def scorer(self) -> Role:
        """The role whose losses are read."""
        return self["scorer"]

    @property
    def embedder(self) -> Role:
        """The role that embeds texts."""
        return self["embedder"]

    def __getitem__(self, name: str) -> Role:
        """The role of that name; one without a model refuses whatever it is asked."""
        if name not in self._named:
            self._named[name] = Role(name, self._dispatcher, self._scope)
        return self._named[name]

    @property
    def draw(self) -> str:
        """What tells this call from the plugin's other calls: for choices that are made in code.

        It is the same whenever this run makes this call, and another for another sample, round or run seed. Hash it
        together with the parent's id; never ask a global random generator.
        """
        return f"{self._dispatcher.run_seed}:{self._scope.operator}:{self._scope.draw}"

    def scoped(self, scope: Scope) -> Models:
        """The same models on behalf of another caller."""
        return Models(self._dispatcher, scope, self._sources)

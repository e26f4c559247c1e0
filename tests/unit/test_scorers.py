"""Scorers: the figures, what they share, and what they say when there is no figure."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from evoagent.errors import RequestError
from evoagent.ledger.database import Database
from evoagent.ledger.request_log import RequestLog
from evoagent.models.binding import RoleBinding
from evoagent.models.dispatcher import Dispatcher
from evoagent.models.requests import Embedding, EmbedRequest, GenerateRequest, Loss, LossRequest
from evoagent.models.roles import Models
from evoagent.population.base import Population
from evoagent.records import Candidate, Instruction, Score
from evoagent.scorers.base import Scorer
from evoagent.scorers.difficulty import Difficulty, DifficultyConfig, parse_rating
from evoagent.scorers.embedding_diversity import EmbeddingDiversity
from evoagent.scorers.length import Length
from evoagent.scorers.losses import IFD, IFDConfig, IFDPerplexity, InstructionComplexIFD, InstructionLoss
from evoagent.testing import Script, ScriptedEngine

PARENT = Instruction(id="p", instruction="Name a tree.", seed_id="p")


def candidate(name: str = "c", text: str = "Name a tree that keeps its leaves.", **changes: object) -> Candidate:
    values: dict[str, object] = {"response": "The holly is one of them.", "parent": PARENT}
    return Candidate(id=name, instruction=text, operator="deepening", round=1, **{**values, **changes})  # type: ignore[arg-type]


class Told(Script):
    """Answers what the test tells it."""

    def __init__(self) -> None:
        self.replies = ["50"]
        self.asked: list[GenerateRequest] = []
        self.losses: list[LossRequest] = []
        self.joint = Loss(6.0, 4, context_sum=10.0, context_tokens=5)
        self.alone = Loss(8.0, 4)
        self.vectors: dict[str, list[float]] = {}

    def generate(self, request: GenerateRequest) -> str:
        self.asked.append(request)
        return self.replies[(len(self.asked) - 1) % len(self.replies)]

    def loss(self, request: LossRequest) -> Loss:
        self.losses.append(request)
        return self.joint if request.context else self.alone

    def embed(self, request: EmbedRequest) -> Embedding:
        if request.text not in self.vectors:
            raise RequestError("too long")
        return Embedding(np.array(self.vectors[request.text], dtype=np.float32))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def models(told: Told, tmp_path: Path) -> AsyncIterator[Models]:
    database = Database(tmp_path / "ledger.db")
    engine = ScriptedEngine(script=told)
    roles = {role: RoleBinding(engine) for role in ("scorer", "judge", "embedder")}
    yield Models(Dispatcher(roles, RequestLog(database, "run"), database))
    database.close()


async def test_the_formulas(models: Models) -> None:
    ifd, ppl, ic_ifd, loss = [
        await scorer.score(candidate(), models)
        for scorer in (IFD(), IFDPerplexity(), InstructionComplexIFD(), InstructionLoss())
    ]
    assert ifd.value == pytest.approx(1.5 / 2.0)
    assert ppl.value == pytest.approx(math.exp(1.5 - 2.0))
    assert ic_ifd.value == pytest.approx(1.5 / (2.0 * 2.0))
    assert loss.value == pytest.approx(2.0)
    assert ic_ifd.value * loss.value == pytest.approx(ifd.value)
    assert math.log(ppl.value) == pytest.approx(ifd.details["L(A|Q)"] - ifd.details["L(A)"])


async def test_the_loss_scorers_share_two_passes(models: Models, told: Told) -> None:
    scorers: list[Scorer] = [IFD(), IFDPerplexity(), InstructionComplexIFD(), InstructionLoss()]
    await asyncio.gather(*(scorer.score(candidate(), models) for scorer in scorers))
    assert sorted(bool(request.context) for request in told.losses) == [False, True]


async def test_the_input_belongs_to_the_question(models: Models, told: Told) -> None:
    await IFD().score(candidate(text="Sort them.", input="3, 1, 2"), models)
    joint = next(request for request in told.losses if request.context)
    assert (joint.context, joint.joiner) == ("Sort them.\n3, 1, 2", "\n")


async def test_details_tell_the_convention_and_the_counts(models: Models, told: Told) -> None:
    told.joint = Loss(6.0, 4, context_sum=10.0, context_tokens=5, merged=True)
    details = (await IFD(IFDConfig(convention="chat")).score(candidate(), models)).details
    assert (details["convention"], details["merged"]) == ("chat", True)
    assert (details["answer_tokens"], details["instruction_tokens"]) == (4, 5)
    assert {request.convention for request in told.losses} == {"chat"}


@pytest.mark.parametrize("scorer", [IFD(), IFDPerplexity(), InstructionComplexIFD()])
@pytest.mark.parametrize("changes", [{"response": ""}, {"response": " \n"}, {"text": ""}])
async def test_a_missing_text_is_a_reason_and_asks_nothing(
    scorer: Scorer, changes: dict[str, str], models: Models, told: Told
) -> None:
    score = await scorer.score(candidate(**changes), models)
    assert score.value is None
    assert "there is no" in (score.reason or "")
    assert not told.losses


@pytest.mark.parametrize("scorer", [IFD(), IFDPerplexity(), InstructionComplexIFD()])
async def test_a_response_of_one_token_has_no_figure(scorer: Scorer, models: Models, told: Told) -> None:
    told.alone = Loss(0.0, 0)
    assert missing(await scorer.score(candidate(response="Yes"), models), "response")


async def test_an_instruction_of_one_token_has_no_ic_ifd_but_an_ifd(models: Models, told: Told) -> None:
    told.joint = Loss(6.0, 4, context_sum=0.0, context_tokens=0)
    assert missing(await InstructionComplexIFD().score(candidate(text="Why?"), models), "instruction")
    assert missing(await InstructionLoss().score(candidate(text="Why?"), models), "instruction")
    assert (await IFD().score(candidate(text="Why?"), models)).value == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("joint", "alone"),
    [
        (Loss(math.nan, 4, 10.0, 5), Loss(8.0, 4)),
        (Loss(6.0, 4, 10.0, 5), Loss(math.nan, 4)),
        (Loss(math.inf, 4, 10.0, 5), Loss(8.0, 4)),
        (Loss(4e6, 4, 10.0, 5), Loss(math.nan, 4)),
    ],
)
async def test_what_is_not_finite_is_missing(joint: Loss, alone: Loss, models: Models, told: Told) -> None:
    told.joint, told.alone = joint, alone
    for scorer in (IFD(), IFDPerplexity(), InstructionComplexIFD()):
        score = await scorer.score(candidate(), models)
        assert missing(score, "finite")
        assert all(
            value is None or math.isfinite(value) for key, value in score.details.items() if key.startswith("L(")
        )


async def test_a_response_without_any_surprise_is_missing_not_infinite(models: Models, told: Told) -> None:
    told.alone = Loss(0.0, 4)
    assert missing(await IFD().score(candidate(), models), "is 0")
    assert missing(await InstructionComplexIFD().score(candidate(), models), "is 0")


async def test_an_overflowing_ratio_is_missing(models: Models, told: Told) -> None:
    told.joint = Loss(4e6, 4, 10.0, 5)
    assert missing(await IFDPerplexity().score(candidate(), models), "finite")


async def test_instruction_loss_needs_no_response(models: Models, told: Told) -> None:
    score = await InstructionLoss().score(candidate(response=""), models)
    assert score.value == pytest.approx(2.0)
    assert [request.target for request in told.losses] == [""]


async def test_difficulty_is_the_mean_of_what_can_be_read(models: Models, told: Told) -> None:
    told.replies = ["40", "I would say hard", "60"]
    score = await Difficulty(DifficultyConfig(askings=3)).score(candidate(), models)
    assert score.value == 50
    assert score.details["ratings"] == [40, 60]
    assert score.details["unread"] == ["I would say hard"]
    assert len({request.messages for request in told.asked}) == 3
    assert all(request.sampling.temperature == 0 for request in told.asked)


async def test_difficulty_shows_the_judge_the_input(models: Models, told: Told) -> None:
    await Difficulty().score(candidate(text="Sort {{ them }}.", input="3, 1, 2"), models)
    turn = told.asked[0].messages[-1][1]
    assert "Sort {{ them }}." in turn
    assert "3, 1, 2" in turn


async def test_difficulty_without_a_rating_says_what_came_instead(models: Models, told: Told) -> None:
    told.replies = ["As an AI model"]
    assert missing(await Difficulty().score(candidate(), models), "As an AI model")


@pytest.mark.parametrize(
    ("reply", "rating"),
    [
        ("72", 72),
        (" 72.\n", 72),
        ("**72**", 72),
        ("72/100", 72),
        ("Difficulty: 72.5", 72.5),
        ("Score: 0", 0),
        ("100", 100),
        ("45\nIt takes some thought.", 45),
        ("101", None),
        ("-5", None),
        ("1e2", None),
        ("7/10", None),
        ("between 40 and 60", None),
        ("40-60", None),
        ("I rate this 70", None),
        ("", None),
        ("nan", None),
        ("9" * 5000, None),
    ],
)
def test_ratings_are_read_strictly(reply: str, rating: float | None) -> None:
    assert parse_rating(reply) == rating


async def diversity(candidates: list[Candidate], survivors: list[Candidate], models: Models) -> list[Score]:
    found = EmbeddingDiversity().score_all(Population.of(candidates), Population.of(survivors), models)
    return [score async for score in found]


async def test_diversity_is_the_distance_to_the_nearest(models: Models, told: Told) -> None:
    told.vectors = {"a": [1, 0], "b": [0.6, 0.8], "old": [0, 1]}
    found = await diversity([candidate("a", "a"), candidate("b", "b")], [candidate("old", "old")], models)
    assert [score.value for score in found] == [pytest.approx(0.4), pytest.approx(0.2)]
    assert [score.details["nearest"] for score in found] == ["b", "old"]


async def test_diversity_does_not_compare_with_own_ancestors(models: Models, told: Told) -> None:
    told.vectors = {"grandparent": [1, 0], "parent": [1, 0], "child": [1, 0], "stranger": [0, 1]}
    grandparent = candidate("g", "grandparent")
    parent = candidate("q", "parent", parent=Instruction(id="g", instruction="grandparent"))
    child = candidate("c", "child", parent=Instruction(id="q", instruction="parent"))
    stranger = candidate("s", "stranger")
    (score,) = await diversity([child], [grandparent, parent, stranger], models)
    assert score.value == pytest.approx(1.0)
    assert score.details["nearest"] == "s"


async def test_a_lone_candidate_has_no_diversity(models: Models, told: Told) -> None:
    told.vectors = {"a": [1, 0]}
    (score,) = await diversity([candidate("a", "a")], [], models)
    assert missing(score, "no other")
    assert await diversity([], [], models) == []


async def test_a_text_that_cannot_be_embedded_harms_no_other(models: Models, told: Told) -> None:
    told.vectors = {"a": [1, 0], "b": [0.6, 0.8]}
    found = await diversity([candidate("a", "a"), candidate("x", "x"), candidate("b", "b")], [], models)
    assert found[0].value == found[2].value == pytest.approx(0.4)
    assert missing(found[1], "too long")


async def test_length_counts_words(models: Models) -> None:
    assert (await Length().score(candidate(text="Don't stop, please!"), models)).value == 3
    assert (await Length().score(candidate(text="写一首诗"), models)).value == 4
    assert missing(await Length().score(candidate(text="…"), models), "no instruction")


def test_conventions_are_named() -> None:
    with pytest.raises(ValidationError):
        IFDConfig(convention="alpaca")  # type: ignore[arg-type]


def missing(score: Score, reason: str) -> bool:
    return score.value is None and reason in (score.reason or "")

"""The detector behind `not_an_instruction`, trained on the shipped seeds with the real embedder."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from evoagent.models.sources.resolve import resolve
from evoagent.records import Candidate, Instruction
from evoagent.rules.detector import NotAnInstruction

pytestmark = pytest.mark.real

INSTRUCTIONS = [
    "Which three mistakes do beginners make when they prune roses, and how can each of them be repaired?",
    "Draft a complaint to an airline about a lost suitcase; stay polite and ask for a date.",
    "Sort the planets by the length of their day and explain the odd one out.",
    "Could you compare oil paint and watercolour for someone who has only one hour a week?",
    "Given a list of temperatures, find the longest run of rising values.",
    "Tell the story of Cinderella from the point of view of one of the mice, in under 150 words.",
    "How would the tides change if the moon were twice as far away?",
    "Imagine that you are a museum guide. Present a rusty key to a class of bored teenagers.",
    "Write a regular expression for dates such as 2021-03-09 that rejects month 13.",
    "Suggest four names for a bakery that sells nothing with sugar, and say whom each would attract.",
    "What is the smallest number that can be divided by each of 4, 6 and 10?",
    "Turn this recipe into a shopping list for twelve guests, grouped by shop.",
    "Explain the offside rule to somebody who has never seen a ball game, without using the word 'goal'.",
    "In two sentences, say why glass is transparent although sand is not.",
    "List the arguments for and against a four-day week from the view of a hospital.",
    "Rewrite the sentence in the passive voice and keep its tense.",
    "Is it fair to tax sugar? Defend the side that you find weaker.",
    "Prove that the sum of two odd numbers is even, first with algebra and then with a drawing.",
    "Help me plan a birthday party for a cat lover who hates surprises.",
    "Find the error in the argument: all birds lay eggs, a turtle lays eggs, so a turtle is a bird.",
]

ANSWERS = [
    "Prune too late, cut too deep, or leave a blunt edge: those are the usual mistakes.",
    "Dear Sir or Madam, my suitcase has not arrived, and I would be glad to hear when I can expect it.",
    "Jupiter, Saturn, Neptune, Uranus, Earth, Mars, Mercury, Venus.",
    "Watercolour suits you better, since it dries fast and needs hardly any cleaning.",
    "The longest run goes from 12 to 19 degrees and has five values.",
    "I had never asked to become a horse, but that night the pumpkin beside me turned into a coach.",
    "The tides would be about eight times weaker.",
    "This key has not opened a door for four hundred years.",
    "^\\d{4}-(0[1-9]|1[0-2])-\\d{2}$",
    "The Honest Loaf, Plain & Warm, Salt, and The Unsweetened.",
    "60",
    "Flour, 3 kg; eggs, 24; milk, 4 litres; butter, 1 kg.",
    "A player must not wait behind the last defender when the ball is passed forward.",
    "Its electrons cannot take up visible light, so the light passes through.",
    "It would make night shifts harder to fill, while rested nurses make fewer errors.",
    "The letter was written by my aunt.",
    "Yes, I think it is fair, because the costs of diabetes are carried by everyone.",
    "Let the numbers be 2a + 1 and 2b + 1; their sum is 2(a + b + 1).",
    "There will be a cake in the shape of a paw, and everybody has been told the time.",
    "The conclusion does not follow: laying eggs is not limited to birds.",
]

ADDED = [
    ("Suggest some games for a group of adults.", "They must need neither cards nor a table.", True),
    ("What can I cook with chickpeas?", "Use only one pot, and name a drink that goes with it.", True),
    ("Describe a forest.", "Do not mention any colour.", True),
    ("Suggest some games for a group of adults.", "Charades and dominoes are great fun for everyone.", False),
    ("What can I cook with chickpeas?", "You can make a curry with tomatoes and spinach.", False),
    ("Describe a forest.", "The pines stood tall and the air smelled of resin.", False),
]


class Embedder:
    """The shipped embedder, in the place of the role."""

    def __init__(self) -> None:
        from sentence_transformers import SentenceTransformer

        self._model = SentenceTransformer(str(resolve("all-minilm-l6-v2").path), device="cpu")

    async def embed(self, text: str) -> NDArray[np.float32]:
        return np.asarray(self._model.encode(text, normalize_embeddings=True, show_progress_bar=False))


class Models:
    def __init__(self) -> None:
        self.embedder = Embedder()


@pytest.fixture(scope="module")
def models() -> Models:
    return Models()


async def trained(models: Models) -> NotAnInstruction:
    rule = NotAnInstruction()
    await rule.prepare([], models)  # type: ignore[arg-type]
    return rule


def candidate(text: str, parent: str = "Tell me something.") -> Candidate:
    return Candidate("c", text, Instruction("p", parent), "deepening", 1)


async def test_instructions_and_answers_are_told_apart(models: Models) -> None:
    rule = await trained(models)
    passed = [(await rule.judge(candidate(text), models)).kept for text in INSTRUCTIONS]  # type: ignore[arg-type]
    caught = [not (await rule.judge(candidate(text), models)).kept for text in ANSWERS]  # type: ignore[arg-type]
    assert sum(passed) >= 18, [text for text, good in zip(INSTRUCTIONS, passed, strict=True) if not good]
    assert sum(caught) >= 18, [text for text, good in zip(ANSWERS, caught, strict=True) if not good]


async def test_an_answer_that_was_added_to_the_parent_is_caught(models: Models) -> None:
    rule = await trained(models)
    for parent, added, genuine in ADDED:
        verdict = await rule.judge(candidate(f"{parent} {added}", parent), models)  # type: ignore[arg-type]
        assert verdict.kept is genuine, (added, verdict)
        assert genuine or (verdict.figure or 0) < (verdict.threshold or 0)


async def test_training_is_deterministic(models: Models) -> None:
    first, second = await trained(models), await trained(models)
    text = INSTRUCTIONS[0]
    assert await first.probability(text, models) == await second.probability(text, models)  # type: ignore[arg-type]

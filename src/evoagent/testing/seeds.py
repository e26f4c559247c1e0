"""A few seeds to try plugins on: orders and questions, with an input and without, and documents."""

from __future__ import annotations

from evoagent.records import Instruction, content_id


def _seed(instruction: str, output: str, input: str = "") -> Instruction:
    identifier = content_id("seed", instruction, input, output)
    return Instruction(identifier, instruction, input, output, seed_id=identifier)


SEEDS = (
    _seed("Explain why leaves turn red in autumn.", "The green pigment fades, and the red one becomes visible."),
    _seed("How do I keep bread fresh for a week?", "Slice it, freeze it, and toast a slice when you want one."),
    _seed(
        "Sum up the text in one sentence.",
        "The library will open later on Mondays.",
        "From June the town library opens at noon on Mondays, because the cleaners come in the morning.",
    ),
    _seed("Write a riddle about a bridge.", "I lie across the water all day, and yet I never get wet. What am I?"),
    _seed("Which of these numbers is the largest?", "31", "17, 4, 31, 22"),
    _seed("Name two uses of a magnifying glass.", "It helps to read small print, and it can light a fire."),
)
"""Six instructions with their answers."""

DOCUMENTS = (
    _seed("", "", "Salt keeps food from spoiling. Before there was ice in every house, fish and meat were laid in it."),
    _seed("", "", "The lighthouse at the end of the pier was built in 1871.\nIts lamp is lit from dusk to dawn."),
    _seed("", "", "A bridge that swings open lets ships pass. It is turned by two people and a wheel."),
)
"""Three texts without an instruction."""

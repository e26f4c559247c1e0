"""What is found, how it is worded, and that it is read back as it was written."""

from __future__ import annotations

import pytest
from evoagent_backtranslation.choice import KINDS, choose, stated, without_stated
from evoagent_backtranslation.constraint import Case, Kind, Values, word

PROSE = (
    "The harbour wakes before the sun does. Fishermen carry crates along the quay while gulls quarrel overhead. By "
    "noon the crates are empty and the quay smells of salt and tar."
)


def found(response: str, instruction: str = "Describe a morning at sea.", input: str = "") -> dict[str, Values]:
    case = Case(instruction, input, response, "key")
    return {kind.name: values for kind in KINDS if (values := kind.find(case)) is not None}


@pytest.mark.parametrize(
    ("response", "kind", "values"),
    [
        (PROSE, "sentences", (3,)),
        (PROSE, "words-between", (30, 35)),
        (PROSE, "no-commas", ()),
        ("Rowing at dawn keeps the fishermen warm", "words-exactly", (7,)),
        ("Calm.", "one-word", ()),
        ("42", "number-only", ()),
        ("- gulls\n- crates\n- nets", "bullets", (3,)),
        ("1. Cast off\n2. Row out\n3. Haul the nets", "numbered", (3,)),
        ("gulls, crates, nets, tar", "comma-list", (4,)),
        ("Step 1: Cast off.\nStep 2: Row out.", "steps", (2,)),
        ("# Dawn\nGulls cry.\n# Noon\nNets dry.", "headings", (2,)),
        ('{"wind": "west", "boats": 3}', "json", ()),
        ("boat | crew\n--- | ---\nAnna | 3\nOtto | 2", "table", (2,)),
        ("```python\nprint('boat')\n```", "code-only", ()),
        ("Call it like this:\n\n```\nrow()\n```", "code-block", ()),
        ("def row_home(boat):\n    return boat.row()", "function-name", ("row_home",)),
        (f"Dawn at the Quay\n\n{PROSE}", "title", ()),
        ('"The sea forgets nobody."', "quotes", ()),
        ("El mar está en calma y los barcos no salen de la bahía por la mañana", "language", ("Spanish",)),
        ("3 boats with 4 men are 12 men.\n#### 12", "result-last", ("####",)),
        ("3 boats with 4 men each. 3 times 4 is 12. The answer is 12.", "conclusion", ("The answer is",)),
        ("CAST OFF THE ROPES", "upper-case", ()),
        ("cast off the ropes and row", "lower-case", ()),
        ("Gulls cry above the quay at dawn. The nets are heavy today. Who will haul them in?", "end-question", ()),
        (
            "Dear Anna,\nthe nets are dry and all the boats are back in the harbour.\nBest wishes,\nOtto",
            "greeting",
            ("Dear",),
        ),
        (
            "Dear Anna,\nthe nets are dry and all the boats are back in the harbour.\nBest wishes,\nOtto",
            "closing",
            ("Best wishes",),
        ),
        ("Two boats left and three came back. The fishermen never talked about the third.", "no-digits", ()),
    ],
)
def test_finds_what_the_response_does(response: str, kind: str, values: Values) -> None:
    assert found(response)[kind] == values


@pytest.mark.parametrize(
    ("response", "instruction", "kind"),
    [
        (PROSE, "Describe a morning at sea in three sentences.", "sentences"),
        (PROSE, "Describe a morning at sea in a few words.", "words-at-most"),
        ("The boat is in the harbour.", "Correct the spelling.", "words-exactly"),
        ("positive", "Classify the review. Output positive or negative.", "one-word"),
        ("- a\n- b\n- c", "Name three letters.", "bullets"),
        ('{"a": 1}', "Answer in JSON.", "json"),
        (
            "Der Hafen ist leer und die Boote sind auf dem Meer, wo sie nicht zu sehen sind.",
            "Translate it.",
            "language",
        ),
        ("{1, 2}, {3, 4}, {5}", "Find all subsets.", "comma-list"),
        ("Mr. Hook and Dr. Reed went to sea.", "Describe a morning at sea.", "one-sentence"),
        ("People: Anna, Otto. Places: Lisbon, Faro.", "Describe the text.", "sentences"),
        ("Yes.", "Is it true, yes or no?", "one-word"),
        ("Calm.", 'Say "Calm" if there is no wind, and else "Rough".', "one-word"),
        ("not calm", "Is the sea calm today?", "words-exactly"),
        ("calm, cold and grey", "What is the sea like?", "lower-case"),
        (f"{PROSE} {PROSE}".replace("w", "v"), "Explain how a harbour works.", "lipogram"),
        ("It is negative, for the crew had to wait.", "Is the review positive or negative?", "avoid"),
    ],
)
def test_leaves_out_what_was_asked_for_or_tells_nothing(response: str, instruction: str, kind: str) -> None:
    assert kind not in found(response, instruction)


def test_a_word_of_the_subject_that_never_comes_back_is_forbidden() -> None:
    response = "Grey water breaks on the harbour wall and the gulls have gone inland to wait for better weather."
    assert found(response, "Describe a harbour before the storm.")["avoid"] == ("storm",)


def test_words_to_include_are_neither_names_nor_those_of_the_instruction() -> None:
    response = f"{PROSE} Captain Lindqvist counts the crates again and sends the youngest home to sleep before dusk."
    values = found(response, "Describe a morning at the quay.")["include-two"]
    assert not {"lindqvist", "quay"} & set(values)
    assert all(str(value) in response for value in values)


def _values(kind: Kind) -> Values:
    slots = sorted({slot for wording in kind.wordings for slot in ("{q}", "{r}", "{n}", "{m}") if slot in wording})
    return tuple({"{q}": "harbour", "{r}": "quay", "{n}": 7, "{m}": 40}[slot] for slot in _in_order(kind, slots))


def _in_order(kind: Kind, slots: list[str]) -> list[str]:
    return sorted(slots, key=kind.wordings[0].index)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_wording_is_read_back_as_it_was_meant(kind: Kind) -> None:
    case = Case("Describe it.", "", PROSE, "key")
    texts = set()
    for shift in range(len(kind.wordings)):
        constraint = word(kind, _values(kind), case, shift)
        texts.add(constraint.text)
        assert stated(f"Describe it. {constraint.text} Thank you.") == [constraint]
        assert without_stated(f"Describe it. {constraint.text}") == "Describe it."
    assert len(texts) == len(kind.wordings)


def test_numbers_are_spelled_up_to_twelve_and_read_back_either_way() -> None:
    assert [item.values for item in stated("Use exactly twelve lines. Use at most 30 words.")] == [(12,), (30,)]


@pytest.mark.parametrize("key", ["a", "b", "c", "d", "e", "f"])
def test_what_is_chosen_holds_and_no_two_are_of_one_group(key: str) -> None:
    chosen = choose(Case("Describe a morning at sea.", "", PROSE, key), 3)
    groups = [constraint.kind.group for constraint in chosen]
    assert 1 <= len(chosen) <= 3
    assert len(set(groups)) == len(groups)
    assert all(constraint.holds(PROSE) for constraint in chosen)


def test_parents_differ_in_what_they_get_and_in_the_words() -> None:
    texts = {
        " ".join(item.text for item in choose(Case("Describe a morning at sea.", "", PROSE, str(key)), 3))
        for key in range(20)
    }
    assert len(texts) > 10


def test_a_group_can_be_left_out() -> None:
    for key in "abcdefgh":
        chosen = choose(Case("Describe a morning at sea.", "", PROSE, key), 3, without=("length", "words"))
        assert not {"length", "words"} & {constraint.kind.group for constraint in chosen}


def test_a_constraint_breaks_when_the_response_changes() -> None:
    (words, sentences) = stated("Write between 30 and 35 words. Answer in exactly three sentences.")
    assert words.holds(PROSE)
    assert sentences.holds(PROSE)
    assert not words.holds(f"{PROSE} {PROSE}")
    assert not sentences.holds(f"{PROSE} The end is near.")

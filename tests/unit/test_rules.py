"""Rules on one candidate: what they reject, what they let through, and the figure they give."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoagent.datasets.forms import MAX_CHARS
from evoagent.errors import ConfigError
from evoagent.models.requests import Completion
from evoagent.prompts.chat import Message
from evoagent.records import Candidate, Instruction, Verdict
from evoagent.rules.base import Rule
from evoagent.rules.language import Language, LanguageConfig, language_of
from evoagent.rules.responses import EmptyResponse, Refusal
from evoagent.rules.semantic import Drift, NoInformationGain, NoInformationGainConfig, parse_equality
from evoagent.rules.surface import (
    Extracted,
    LengthRatio,
    LengthRatioConfig,
    Repetition,
    Truncated,
    Unchanged,
    UnchangedConfig,
)
from evoagent.rules.template_leak import TemplateLeak, TemplateLeakConfig
from evoagent.text import longest_copy, starts_as_order

PARENT = "Name a tree that grows in Norway."


def candidate(text: str, parent: str = PARENT, **changes: object) -> Candidate:
    base = Instruction(id="p", instruction=parent, input=str(changes.pop("parent_input", "")))
    return Candidate(id="c", instruction=text, parent=base, operator="deepening", round=1, **changes)  # type: ignore[arg-type]


class Models(SimpleNamespace):
    """A judge that says `reply` and an embedder that looks up `vectors`."""

    def __init__(
        self, reply: str = "", style: str = "plain", vectors: Mapping[str, Sequence[float]] | None = None
    ) -> None:
        self.asked: list[Sequence[Message]] = []

        async def generate(prompt: Sequence[Message], **_: object) -> Completion:
            self.asked.append(prompt)
            return Completion(reply)

        async def embed(text: str) -> np.ndarray:
            return np.array((vectors or {})[text], dtype=np.float32)

        super().__init__(judge=SimpleNamespace(style=style, generate=generate), embedder=SimpleNamespace(embed=embed))


async def verdict(rule: Rule, tried: Candidate, models: object = None) -> Verdict:
    return await rule.judge(tried, models or Models())  # type: ignore[arg-type]


async def rejected(rule: Rule, text: str, **changes: object) -> bool:
    found = await verdict(rule, candidate(text, **changes))  # type: ignore[arg-type]
    return not found.kept


async def test_extracted() -> None:
    assert await rejected(Extracted(), "")
    assert await rejected(Extracted(), " \n")
    assert not await rejected(Extracted(), "Name a tree.")


async def test_truncated() -> None:
    assert await rejected(Truncated(), "Name a tree that", finish_reason="length")
    assert not await rejected(Truncated(), "Name a tree that", finish_reason="stop")


async def test_unchanged_sees_through_case_space_and_punctuation() -> None:
    found = await verdict(Unchanged(), candidate("  name a TREE, that grows in Norway"))
    assert (found.kept, found.rule, found.figure, found.threshold) == (False, "unchanged", 1.0, 0.95)


async def test_unchanged_lets_an_added_requirement_through() -> None:
    long = "Write a friendly note to a neighbour who looked after the plants while we were away for three weeks"
    assert not await rejected(Unchanged(), f"{long}, in six lines at most.", parent=f"{long}.")
    assert await rejected(Unchanged(), f"{long} please.", parent=f"{long}.")


async def test_unchanged_counts_a_new_input_as_a_change() -> None:
    changes = {"parent": "Sort them.", "parent_input": "3, 1, 2"}
    assert not await rejected(Unchanged(), "Sort them.", input="apple, Pear, 7, fig, 12, kiwi", **changes)
    assert await rejected(Unchanged(), "Sort them.", input="3, 1, 2", **changes)


async def test_unchanged_works_in_scripts_without_spaces() -> None:
    assert await rejected(Unchanged(), "写一首关于大海的诗。", parent="写一首关于大海的诗")
    assert not await rejected(Unchanged(), "写一首关于大海的诗，不要用蓝色这个词", parent="写一首关于大海的诗")


async def test_unchanged_can_be_exact() -> None:
    rule = Unchanged(UnchangedConfig(max_similarity=1))
    assert not await rejected(rule, "Name a tree that grows in northern Norway.")


@pytest.mark.parametrize(
    ("text", "parent", "threshold"),
    [
        ("Tree?", PARENT, 3),
        ("Name a tree.", "word " * 30, 0.35),
        ("word " * 120, "word " * 20, 4.0),
        ("word " * 500, "word " * 400, 400),
    ],
)
async def test_length_ratio_rejects(text: str, parent: str, threshold: float) -> None:
    found = await verdict(LengthRatio(), candidate(text, parent))
    assert (found.kept, found.threshold) == (False, threshold)


async def test_length_ratio_lets_short_parents_grow() -> None:
    assert not await rejected(LengthRatio(), "word " * 40, parent="Name trees.")
    assert not await rejected(LengthRatio(), "Name shrubs.", parent="Name trees.")
    assert await rejected(LengthRatio(LengthRatioConfig(grace_words=10)), "word " * 40, parent="Name trees.")


async def test_repetition() -> None:
    loop = "Suggest a game" + ", a round of clapping" * 12
    found = await verdict(Repetition(), candidate(loop))
    assert not found.kept
    assert (found.figure or 0) > 0.25
    assert await rejected(Repetition(), "Name a tree" + "!" * 60)
    assert not await rejected(Repetition(), "Name a tree that grows in Norway, and a tree that grows in Spain.")


async def test_repetition_is_measured_against_the_parent() -> None:
    table = "Sum the columns. " + "0 1 0 1 " * 10
    assert not await rejected(Repetition(), f"{table} Then name the larger one.", parent=table)


async def test_language_rejects_another_script() -> None:
    found = await verdict(Language(), candidate("请说出一种生长在挪威的树。"))
    assert (found.kept, found.figure, found.threshold) == (False, 1.0, 0.3)
    assert not await rejected(Language(), "说出两种树", parent="说出一种树")
    assert not await rejected(Language(), 'Explain what the word "дерево" means in the names of trees.')
    assert not await rejected(Language(), "木の名前を書いて", parent="木の名を書く")


async def test_language_rejects_another_language_in_the_same_letters() -> None:
    spanish = "Escribe el nombre de un árbol que crece en los bosques de Noruega y di por qué."
    found = await verdict(Language(), candidate(spanish))
    assert (found.kept, "Spanish" in found.detail) == (False, True)
    assert not await rejected(Language(LanguageConfig(same_language=False)), spanish)
    assert not await rejected(Language(), f"{spanish} ¿Y en qué país?", parent=spanish)


@pytest.mark.parametrize("text", ["Name two trees.", "def f(x): return x + 1", "a la la la", "Berlin Paris Oslo Rom"])
def test_language_is_not_guessed_from_too_little(text: str) -> None:
    assert language_of(text) is None


async def test_template_leak_by_phrase() -> None:
    found = await verdict(TemplateLeak(), candidate("Here is the Rewritten  prompt: name a tree."))
    assert (found.kept, "rewritten prompt" in found.detail) == (False, True)
    assert not await rejected(TemplateLeak(), "Name a tree that grows in Norway and bears cones.")


async def test_template_leak_spares_what_the_parent_says() -> None:
    assert not await rejected(
        TemplateLeak(), "Improve the given prompt in two steps.", parent="Improve the given prompt."
    )


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("Name a tree.", True),
        ("Then explain which tree is the oldest, and why.", True),
        ("Before you answer, compare two trees.", True),
        ("Given a list of trees, sort it.", True),
        ("In what way does a tree drink?", True),
        ("In your opinion, which tree is the oldest?", True),
        ("What a wonderful tree.", False),
        ("In Norway, trees grow slowly.", False),
        ("To plant a tree, use a spade.", False),
        ("Oaks, birches and pines.", False),
        ("", False),
    ],
)
def test_how_orders_and_questions_begin(text: str, order: bool) -> None:
    assert starts_as_order(text) is order


@pytest.fixture
async def leak(tmp_path: Path) -> TemplateLeak:
    (tmp_path / "README.md").write_text("no front matter", encoding="utf-8")
    pair = "{instruction: Plan a trip., evolved: Plan a cycling trip along the Danube from Passau to Linz.}"
    (tmp_path / "op.md").write_text(f"---\nexamples:\n  pairs:\n    - {pair}\n---\nBody\n", encoding="utf-8")
    rule = TemplateLeak(TemplateLeakConfig(prompts=str(tmp_path)))
    await rule.prepare([], Models())  # type: ignore[arg-type]
    return rule


async def test_template_leak_by_a_copied_example(leak: TemplateLeak) -> None:
    found = await verdict(leak, candidate("Name a tree, then plan a cycling trip along the Danube from Oslo."))
    assert (found.kept, found.figure, found.threshold) == (False, 5, 3)
    assert not await rejected(leak, "Name a tree that one sees on a trip along the river.")


async def test_the_pattern_of_the_examples_is_no_copy(tmp_path: Path) -> None:
    pairs = "".join(
        f"    - evolved: The answer must have at least five items and mention {what}.\n"
        for what in ("a price", "a colour")
    )
    (tmp_path / "op.md").write_text(f"---\nexamples:\n  pairs:\n{pairs}---\nBody\n", encoding="utf-8")
    rule = TemplateLeak(TemplateLeakConfig(prompts=str(tmp_path)))
    await rule.prepare([], Models())  # type: ignore[arg-type]
    assert not await rejected(rule, f"{PARENT} The answer must have at least five items and mention a town.")


async def test_template_leak_spares_a_parent_that_is_the_example(leak: TemplateLeak) -> None:
    parent = "Plan a cycling trip along the Danube from Passau to Linz."
    assert not await rejected(leak, f"{parent} It must cost nothing.", parent=parent)


async def test_the_opening_that_replies_must_have_is_no_copy(tmp_path: Path) -> None:
    opening = "Before you answer, think for a minute about"
    text = f"---\nexamples:\n  opening: {opening}\n  pairs:\n    - {{evolved: '{opening} the sea.'}}\n---\nBody\n"
    (tmp_path / "op.md").write_text(text, encoding="utf-8")
    rule = TemplateLeak(TemplateLeakConfig(prompts=str(tmp_path)))
    await rule.prepare([], Models())  # type: ignore[arg-type]
    assert not await rejected(rule, f"{PARENT} {opening} the cold.")


async def test_template_leak_names_a_broken_prompt_file(tmp_path: Path) -> None:
    (tmp_path / "op.md").write_text("no front matter", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"op\.md: expected YAML front matter"):
        await TemplateLeak(TemplateLeakConfig(prompts=str(tmp_path))).prepare([], Models())  # type: ignore[arg-type]


async def test_the_shipped_prompts_have_examples_to_protect() -> None:
    rule = TemplateLeak()
    await rule.prepare([], Models())  # type: ignore[arg-type]
    assert rule._examples


async def test_refusal() -> None:
    assert await rejected(Refusal(), "x", response="I'm Sorry, but I can't name a tree.")
    assert not await rejected(Refusal(), "x", response="The spruce.")
    assert not await rejected(Refusal(), "x", response="Sorry seems to be the hardest " + "word " * 80)


async def test_empty_response() -> None:
    assert await rejected(EmptyResponse(), "x", response="")
    assert await rejected(EmptyResponse(), "x", response="... and so, it is what it is!")
    for answer in ("Yes.", "No", "42", "the spruce", "云杉"):
        assert not await rejected(EmptyResponse(), "x", response=answer)


async def test_drift_is_strict_in_depth_and_lenient_in_breadth() -> None:
    models = Models(vectors={"far": [0.05, 0.99875], "aside": [0.2, 0.98], PARENT: [1, 0], "near": [0.8, 0.6]})
    found = await verdict(Drift(), candidate("aside"), models)
    assert (found.kept, found.threshold) == (False, 0.35)
    assert found.figure == pytest.approx(0.2)
    assert (await verdict(Drift(), candidate("near"), models)).kept
    assert (await verdict(Drift(), candidate("aside", family="breadth"), models)).kept
    found = await verdict(Drift(), candidate("far", family="breadth"), models)
    assert (found.kept, found.threshold) == (False, 0.1)


@pytest.mark.parametrize(
    ("text", "gain"),
    [
        ("Name the trees that grow in Norway.", False),
        ("Which tree does grow in Norway?", False),
        ("Name a tree that grows in Norway and keeps its leaves in winter.", True),
    ],
)
async def test_lexical_gain(text: str, gain: bool) -> None:
    found = await verdict(NoInformationGain(), candidate(text), Models(style="examples"))
    assert found.kept is gain
    assert gain or found.threshold == 2


async def test_lexical_gain_counts_a_new_input() -> None:
    tried = candidate("Sort them.", "Sort them.", input="apple, pear, fig", parent_input="3, 1, 2")
    assert (await verdict(NoInformationGain(), tried, Models(style="examples"))).kept


async def test_the_judge_decides_on_gain_where_it_is_able() -> None:
    for reply, kept in (("Equal.", False), ("different", True), ("**Not equal**", True), ("I cannot say", True)):
        models = Models(reply)
        found = await verdict(
            NoInformationGain(NoInformationGainConfig(min_new_words=0)), candidate("Name one tree of Norway."), models
        )
        assert found.kept is kept
        asked = models.asked[0][-1]["content"]
        assert PARENT in asked
        assert "Name one tree of Norway." in asked
    assert "I cannot say" in found.detail


@pytest.mark.parametrize(
    ("rule", "tried"),
    [
        (Extracted(), candidate("")),
        (Truncated(), candidate("Name a", finish_reason="length")),
        (Unchanged(), candidate(PARENT)),
        (LengthRatio(), candidate("Tree")),
        (Repetition(), candidate("tree " * 20)),
        (Language(), candidate("Schreibe das Wort, das in der Sprache der Samen auf Birke reimt.")),
        (TemplateLeak(), candidate("Rewritten prompt: name a tree.")),
        (NoInformationGain(NoInformationGainConfig(min_new_words=0)), candidate("Name one tree.")),
        (Refusal(), candidate("x", response="Sorry.")),
        (EmptyResponse(), candidate("x", response="!")),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Rule) else "",
)
async def test_every_rejection_has_figure_and_threshold(rule: Rule, tried: Candidate) -> None:
    found = await verdict(rule, tried, Models("equal"))
    assert not found.kept
    assert found.rule
    assert found.figure is not None
    assert found.threshold is not None


async def test_the_method_of_gain_can_be_chosen() -> None:
    lexical = NoInformationGain(NoInformationGainConfig(method="lexical"))
    models = Models("different")
    assert not (await verdict(lexical, candidate("Name the tree of Norway."), models)).kept
    assert not models.asked
    judge = NoInformationGain(NoInformationGainConfig(method="judge", min_new_words=0))
    models = Models("different", style="examples")
    assert (await verdict(judge, candidate("Name the tree of Norway."), models)).kept
    assert len(models.asked[0]) > 2
    both = NoInformationGain(NoInformationGainConfig(method="judge"))
    assert not (await verdict(both, candidate("Name the tree of Norway."), Models("different"))).kept


@pytest.mark.parametrize(
    ("reply", "equal"),
    [
        ("equal", True),
        ('"Equal"\nboth ask for a tree', True),
        ("Different.", False),
        ("not equal", False),
        ("They may be equal or different", None),
        ("equally hard", None),
        ("", None),
    ],
)
def test_equality_is_read_strictly(reply: str, equal: bool | None) -> None:
    assert parse_equality(reply) is equal


WORDS = st.lists(st.sampled_from(["a", "b", "c", "the"]), max_size=12)


@given(WORDS, WORDS, st.sets(st.sampled_from(["a", "the"])))
def test_the_longest_copy_is_that_of_a_plain_search(text: list[str], source: list[str], common: set[str]) -> None:
    def gain(start: int, other: int) -> int:
        total = 0
        for left, right in zip(text[start:], source[other:], strict=False):
            if left != right:
                break
            total += left not in common
        return total

    expected = max((gain(i, j) for i in range(len(text)) for j in range(len(source))), default=0)
    assert longest_copy(text, source, common) == expected


@given(WORDS.filter(bool), WORDS.filter(bool))
async def test_unchanged_measures_rouge_l(child: list[str], parent: list[str]) -> None:
    table = [[0] * (len(parent) + 1) for _ in range(len(child) + 1)]
    for i, left in enumerate(child):
        for j, right in enumerate(parent):
            table[i + 1][j + 1] = table[i][j] + 1 if left == right else max(table[i][j + 1], table[i + 1][j])
    recall, precision = table[-1][-1] / len(parent), table[-1][-1] / len(child)
    f1 = 2 * precision * recall / (precision + recall) if recall else 0.0
    seed = Instruction("parent", " ".join(parent))
    verdict = await Unchanged(UnchangedConfig(max_similarity=1e-9)).judge(
        Candidate("child", " ".join(child), seed, "ask", 1), Models()
    )
    assert verdict.kept == (f1 == 0)
    if f1:
        assert verdict.figure == pytest.approx(f1)


@pytest.mark.timeout(20)
async def test_the_longest_seed_that_there_may_be() -> None:
    words = [f"word{number % 2999}" for number in range(15_000)]
    seed = Instruction("parent", " ".join(words)[:MAX_CHARS])
    candidate = Candidate("child", " ".join(words[7:])[:20_000], seed, "ask", 1)
    tracemalloc.start()
    try:
        verdict = await Unchanged(UnchangedConfig(max_similarity=0.1)).judge(candidate, Models())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not verdict.kept
    assert peak < 50e6

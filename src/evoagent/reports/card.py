"""The dataset card: a README in the form that dataset hubs read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from evoagent.datasets.tally import ScoreTally, Tally

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))

_COLUMNS = (
    ("id", "stable identifier"),
    ("parent_ids", "what it was evolved from"),
    ("seed_id", "the seed at the root of its line"),
    ("round", "the round that made it; 0 for a seed"),
    ("operator", "the operator that wrote it; null for a seed"),
    ("instruction", "the evolved instruction"),
    ("input", "what the instruction works on; may be empty"),
    ("output", "the response"),
    ("scores", "by scorer; null where there is none"),
    ("data", "what plugins have attached, as JSON text; null where there is nothing"),
    ("model", "wrote the instruction"),
    ("responder", "wrote the response"),
)


_LOADING = """```python
from datasets import load_dataset

dataset = load_dataset("parquet", data_files="train.parquet", split="train")
```"""


@dataclass(frozen=True, slots=True)
class ModelFact:
    """A model that took part. None stands for what is not known."""

    role: str
    name: str
    engine: str | None = None
    revision: str | None = None
    licence: str | None = None


@dataclass(frozen=True, slots=True)
class CorpusFact:
    """A corpus that plugins could draw from."""

    name: str
    source: str
    rows: int
    version: str


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What the card says that the rows themselves do not tell.

    Attributes:
        licence: of this dataset, as a hub's identifier such as "cc0-1.0"; None for not stated.
        language: ISO 639-1 codes.
        rounds: that were run.
        stages: the balance of each, as in the summary; empty where there is one.
        candidates: all that were written, survivors and rejected.
        rejections: rejected candidates by rule.
        tried: candidates by operator.
        figures: what plugins measured of all survivors after a round, by round and name.
        operators: name to a line on what it does, in the order of the configuration.
        versions: of the plugins that took part.
        seeds: where they came from.
        documents: they are texts without an instruction.
        corpora: what plugins could draw from.
        seeds_sha256: of the file, if it is one.
        run_seed: of the random numbers.
        version: of evoagent.
    """

    name: str
    rounds: int
    candidates: int
    seeds: str
    seed_count: int
    stages: tuple[Mapping[str, Any], ...] = ()
    licence: str | None = None
    language: tuple[str, ...] = ()
    rejections: Mapping[str, int] = field(default_factory=dict)
    tried: Mapping[str, int] = field(default_factory=dict)
    figures: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    operators: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    models: tuple[ModelFact, ...] = ()
    documents: bool = False
    corpora: tuple[CorpusFact, ...] = ()
    seeds_licence: str | None = None
    seeds_sha256: str | None = None
    run_seed: int = 0
    version: str = ""


def render_card(card: CardFacts, tally: Tally) -> str:
    """The card as Markdown with its YAML head. Equal facts give equal text: it holds no time of day."""
    import yaml

    head: dict[str, Any] = {"license": card.licence or "unknown"}
    if card.language:
        head["language"] = list(card.language)
    head |= {
        "pretty_name": " ".join(card.name.split()),  # a line "---" would end the head
        "task_categories": ["text-generation"],
        "tags": ["instruction-tuning", "synthetic", "evol-instruct", "evoagent"],
        "size_categories": [next((name for bound, name in _SIZES if tally.rows < bound), "1M<n<10M")],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "train.parquet"}]}],
    }
    front = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=10_000)
    return f"---\n{front}---\n\n" + "\n\n".join(_sections(card, tally)) + "\n"


def _sections(card: CardFacts, tally: Tally) -> Iterable[str]:
    rejected = sum(card.rejections.values())
    sources = "documents" if card.documents else "seeds"
    yield f"# {_inline(card.name)}"
    yield (
        f"{tally.rows:,} instructions with responses, evolved from {card.seed_count:,} {sources} in {card.rounds} "
        f"{'round' if card.rounds == 1 else 'rounds'} by local language models with "
        f"{_inline(f'evoagent {card.version}')}. Of {card.candidates:,} candidates {rejected:,} were rejected."
    )
    yield "## How it was made"
    first = "write an instruction for a document, or " if card.documents else ""
    yield (
        f"In each round an operator has a model {first}rewrite an instruction of the population into a harder or rarer "
        "one; a model answers it; scorers measure it; rules reject what is no real gain. "
        "What survives is in this dataset, and evolves further in the next round. "
        f"Random seed: {card.run_seed}."
    )
    licence = _inline(card.seeds_licence or "not known")
    seeds = f"{sources.capitalize()}: {_inline(card.seeds)} ({card.seed_count:,} rows), licence: {licence}"
    yield seeds + (f", sha256 `{card.seeds_sha256}`." if card.seeds_sha256 else ".")
    if card.stages:
        yield "### Stages"
        yield "What survives a stage is what the next one begins with; what survives the last one is this dataset."
        columns = ("stage", "rounds", "candidates", "survivors")
        yield _table(columns, (tuple(stage[column] for column in columns) for stage in card.stages))
    if card.corpora:
        yield "### Corpora"
        drawn = ((c.name, c.source, f"{c.rows:,}", c.version) for c in card.corpora)
        yield _table(("corpus", "drawn from", "rows", "version"), drawn)
    if card.models:
        yield "### Models"
        facts = ((m.role, m.name, m.engine, m.revision, m.licence or "not known") for m in card.models)
        yield _table(("role", "model", "engine", "revision", "licence"), facts)
    if card.operators:
        yield "### Operators"
        yield _table(("operator", "what it does"), card.operators.items())
    if card.versions:
        yield "### Versions"
        yield _table(("plugin", "version"), card.versions.items())
    yield "## Counts"
    order = {name: place for place, name in enumerate(card.operators)}
    operators = sorted({*tally.by_operator, *card.tried}, key=lambda name: (order.get(name, len(order)), name))
    yield "### Rows by operator"
    counts = ((name, card.tried.get(name), tally.by_operator.get(name, 0)) for name in operators)
    yield _table(("operator", "candidates", "rows"), counts)
    yield "### Rows by round"
    yield _table(("round", "rows"), sorted(tally.by_round.items()))
    yield "### Rejections by rule"
    yield _table(("rule", "candidates"), sorted(card.rejections.items(), key=lambda item: (-item[1], item[0])))
    if tally.scores:
        yield "### Scores"
        head = ("scorer", "rows", "mean", "least", "greatest")
        yield _table(head, (_score(*item) for item in sorted(tally.scores.items())))
    if card.figures:
        yield "### Figures of all survivors so far, by round"
        names = sorted({name for figures in card.figures.values() for name in figures})
        rows = (
            (round, *(f"{figures[name]:.4g}" if name in figures else "" for name in names))
            for round, figures in sorted(card.figures.items())
        )
        yield _table(("round", *names), rows)
    yield "## Columns"
    yield "\n".join(["| column | holds |", "| --- | --- |", *(f"| `{name}` | {text} |" for name, text in _COLUMNS)])
    yield "## How to load it"
    yield "`train.parquet` and `train.jsonl` hold the same rows."
    yield _LOADING
    yield "## Licence"
    yield (
        f"{_inline(card.licence) if card.licence else 'Not stated'}. The seeds' licence and those of the models "
        "that wrote the texts may bind whoever uses them."
    )


def _score(name: str, tally: ScoreTally) -> tuple[str, int, str, str, str]:
    if not tally.count:
        return name, 0, "", "", ""
    return name, tally.count, f"{tally.total / tally.count:.4g}", f"{tally.low:.4g}", f"{tally.high:.4g}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    lines = ["| " + " | ".join("" if cell is None else _inline(str(cell)) for cell in row) + " |" for row in rows]
    if not lines:
        return "None."
    return "\n".join(["| " + " | ".join(head) + " |", "|" + " --- |" * len(head), *lines])


def _inline(text: str) -> str:
    """Text from outside on one line, of which Markdown makes nothing: no table, link, emphasis, code or tag."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split())).replace("<", "&lt;")


_MARKUP = re.compile(r"[\\`*\[\]|]|(?<!\w)_|_(?!\w)|^#")

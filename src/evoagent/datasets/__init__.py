"""Seeds in, training files out."""

from __future__ import annotations

from evoagent.datasets.card import CardFacts, ModelFact
from evoagent.datasets.corpora import Corpus, find_corpus
from evoagent.datasets.exporters import EXPORTERS, Exporter, export
from evoagent.datasets.files import BadRow, read_rows
from evoagent.datasets.forms import Example, Form, recognise, to_example
from evoagent.datasets.seeds import SeedBatch, read_seeds
from evoagent.datasets.writer import write_dataset

__all__ = [
    "EXPORTERS",
    "BadRow",
    "CardFacts",
    "Corpus",
    "Example",
    "Exporter",
    "Form",
    "ModelFact",
    "SeedBatch",
    "export",
    "find_corpus",
    "read_rows",
    "read_seeds",
    "recognise",
    "to_example",
    "write_dataset",
]

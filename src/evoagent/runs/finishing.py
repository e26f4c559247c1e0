"""What a run leaves behind."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from evoagent import __version__
from evoagent.datasets.writer import write_dataset
from evoagent.graph.context import EvolutionContext
from evoagent.ledger.files import DATASET
from evoagent.plugins.manager import PluginManager
from evoagent.reports.card import CardFacts, CorpusFact, ModelFact, render_card
from evoagent.runs.opened import Opened


def finish(context: EvolutionContext, opened: Opened, summary: dict[str, Any], manager: PluginManager) -> None:
    """Write the dataset with its card, and mark the run as done. Synchronous: call it in the ledger's thread."""
    config, record, seeds = context.config, opened.run.record, opened.read["seed"]
    operators = dict.fromkeys(use.name for stage in config.plan for use in stage.evolver.operators)
    card = CardFacts(
        name=config.name,
        rounds=summary["rounds"],
        candidates=summary["candidates"],
        seeds=Path(config.seeds.path).name,
        seed_count=seeds.count,
        documents=config.seeds.form == "documents",
        corpora=tuple(
            CorpusFact(
                each.name, Path(config.corpora[each.name].path).name, context.corpora[each.name].size, each.version
            )
            for each in opened.corpora
        ),
        stages=tuple(summary.get("stages", ())),
        rejections=summary["rejected"],
        tried={name: count for name, (count, _) in context.store.results.counts_by(record.id, "operator").items()},
        figures=context.store.runs.figures(record.id),
        operators={name: manager.get("operator", name).summary for name in operators},
        versions={
            name: version for name, version in record.versions.items() if not name.startswith(("models.", "corpora."))
        },
        models=tuple(
            ModelFact(model.role, model.source.name, model.config.engine, model.source.revision, model.source.licence)
            for model in opened.models
        ),
        seeds_sha256=seeds.sha256,
        run_seed=config.seed,
        version=__version__,
    )
    rows = context.store.results.dataset(record.id, record.last_stage)
    write_dataset(context.directory / DATASET, rows, partial(render_card, card))
    context.store.runs.end(record.id, summary["stop_reason"], summary)

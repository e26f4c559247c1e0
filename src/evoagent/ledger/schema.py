"""The ledger's tables.

Rounds are counted through the whole run, over its stages. Rows of a run carry its `run_id`; the request log is shared
by all runs of one directory, so that a run whose thresholds changed is decided anew without asking any model again.
Nothing is ever deleted, but the plan of a round that never came.
"""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, Text

SCHEMA_VERSION = 3

UPGRADES: dict[int, tuple[str, ...]] = {
    1: (),
    2: (
        "ALTER TABLE runs ADD COLUMN versions JSON NOT NULL DEFAULT '{}'",
        "ALTER TABLE runs ADD COLUMN admitted JSON",
        "ALTER TABLE candidates RENAME COLUMN prompt_hash TO version",
        "ALTER TABLE candidates ADD COLUMN data JSON NOT NULL DEFAULT '{}'",
        "ALTER TABLE candidates ADD COLUMN stage TEXT NOT NULL DEFAULT 'main'",
        "ALTER TABLE instructions ADD COLUMN data JSON NOT NULL DEFAULT '{}'",
        "ALTER TABLE instructions ADD COLUMN stage TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE reviews RENAME TO reviews_by_candidate",
    ),
}
"""What turns a ledger of a version into one of the next; tables that are missing then are made as they stand below."""

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("status", String(16), nullable=False),  # running, done, abandoned
    Column("decisions", String(16), nullable=False),
    Column("config", JSON, nullable=False),
    Column("versions", JSON, nullable=False),  # of plugins and models, by what messages call them
    Column("admitted", JSON),  # round and number of the operator calls that its budget has let through
    Column("seeds_bad", Integer, nullable=False, default=0),
    Column("seconds", Float, nullable=False, default=0.0),
    Column("started_at", String(32), nullable=False),
    Column("stop_reason", Text),
    Column("summary", JSON),
)

instructions = Table(
    "instructions",
    metadata,
    Column("run_id", String(16), primary_key=True),
    Column("id", String(16), primary_key=True),
    Column("round", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("stage", Text, nullable=False),  # "" for a seed
    Column("operator", String(64)),
    Column("seed_id", String(16), nullable=False),
    Column("parent_ids", JSON, nullable=False),
    Column("instruction", Text, nullable=False),
    Column("input", Text, nullable=False),
    Column("output", Text, nullable=False),
    Column("data", JSON, nullable=False),
)

population = Table(
    "population",
    metadata,
    Column("run_id", String(16), primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("instruction_id", String(16), nullable=False),
)

# What an optimizer made of the operators' parameters: they hold from that round of the stage on.
methods = Table(
    "methods",
    metadata,
    Column("run_id", String(16), primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("operator", String(64), primary_key=True),
    Column("params", JSON, nullable=False),
)

candidates = Table(
    "candidates",
    metadata,
    Column("run_id", String(16), primary_key=True),
    Column("id", String(16), primary_key=True),
    Column("round", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("stage", Text, nullable=False),
    Column("operator", String(64), nullable=False),
    Column("family", String(32), nullable=False),
    Column("seed_id", String(16), nullable=False),
    Column("parent_id", String(16), nullable=False),
    Column("parent_ids", JSON, nullable=False),
    Column("instruction", Text, nullable=False),
    Column("input", Text, nullable=False),
    Column("data", JSON, nullable=False),
    Column("raw", Text, nullable=False),  # the completion as it came
    Column("reason", Text),  # why nothing could be extracted
    Column("error", Text),  # the exception that ended this candidate
    Column("finish_reason", String(16), nullable=False),
    Column("version", Text),  # of the operator: its code, prompt and parameters
    Column("model", Text, nullable=False),
    Column("response", Text),  # null until the critic has it
    Column("response_finish_reason", String(16)),
    Column("responder", Text),
    Index("candidates_by_round", "run_id", "round", "position"),
    Index("candidates_by_parent", "run_id", "parent_id"),
)

# All responses of a candidate that has several; the one that was kept is also in `candidates`.
responses = Table(
    "responses",
    metadata,
    Column("run_id", String(16), primary_key=True),
    Column("candidate_id", String(16), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("response", Text, nullable=False),
    Column("finish_reason", String(16), nullable=False),
    Column("responder", Text, nullable=False),
    Column("scores", JSON, nullable=False),  # value or null, by scorer
    Column("rank", Float),  # how good the response selector finds it
    Column("kept", Boolean, nullable=False),
)

scores = Table(
    "scores",
    metadata,
    Column("run_id", String(16), primary_key=True),
    Column("candidate_id", String(16), primary_key=True),
    Column("scorer", String(64), primary_key=True),
    Column("value", Float),
    Column("reason", Text),
    Column("details", JSON, nullable=False),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("run_id", String(16), primary_key=True),
    Column("candidate_id", String(16), primary_key=True),
    Column("round", Integer, nullable=False),
    Column("kept", Boolean, nullable=False),
    Column("rule", String(64), nullable=False),
    Column("figure", Float),
    Column("threshold", Float),
    Column("detail", Text, nullable=False),
    Index("verdicts_by_round", "run_id", "round"),
)

figures = Table(
    "figures",
    metadata,
    Column("run_id", String(16), primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("name", String(160), primary_key=True),  # PLUGIN.FIGURE
    Column("value", Float, nullable=False),
)

# What a person decided, by what was shown and for all runs of the directory: nobody is asked the same twice.
reviews = Table(
    "reviews",
    metadata,
    Column("key", String(16), primary_key=True),
    Column("decision", String(8), nullable=False),  # keep, reject, edit, pass
    Column("reason", Text, nullable=False),
    Column("instruction", Text),  # of an edit
    Column("input", Text),
    Column("at", String(32), nullable=False),
)

# What plugins draw from, by the version of its content and for all runs of the directory.
corpora = Table(
    "corpora",
    metadata,
    Column("version", String(16), primary_key=True),
    Column("rows", Integer, nullable=False),
    Column("added_at", String(32), nullable=False),
)

corpus_rows = Table(
    "corpus_rows",
    metadata,
    Column("version", String(16), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("id", String(16), nullable=False),
    Column("instruction", Text, nullable=False),
    Column("input", Text, nullable=False),
    Column("output", Text, nullable=False),
    Column("data", JSON, nullable=False),
)

requests = Table(
    "requests",
    metadata,
    Column("key", String(40), primary_key=True),
    Column("run_id", String(16), nullable=False),
    Column("verb", String(8), nullable=False),
    Column("role", String(64), nullable=False),
    Column("operator", String(64), nullable=False),
    Column("round", Integer, nullable=False),
    Column("model", Text, nullable=False),
    Column("result", JSON, nullable=False),
    Column("array", LargeBinary),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Index("requests_by_run", "run_id"),
)

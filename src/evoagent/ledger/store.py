"""The record of a run: population, candidates, scores and verdicts. All methods are synchronous and transactional."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Protocol

from sqlalchemy import (
    Connection,
    Integer,
    RowMapping,
    Select,
    and_,
    bindparam,
    exists,
    func,
    literal,
    select,
    tuple_,
    update,
)

from evoagent.ledger import schema
from evoagent.ledger.database import Database
from evoagent.ledger.replacement import Replacement
from evoagent.ledger.rows import (
    Critique,
    NewCandidate,
    RunRecord,
    StoredCandidate,
    Totals,
    candidate_row,
    instruction,
    instruction_row,
    response_rows,
    score_rows,
    stored,
)
from evoagent.records import Candidate, Instruction, Score, Verdict

PAGE = 500  # rows a query, and ids an IN list: below SQLite's limit on bound variables


class Verdicts(Protocol):
    """Verdicts by candidate: a mapping, or whatever else gives them one after another."""

    def items(self) -> Iterable[tuple[str, Verdict]]:
        """Ids and verdicts."""


class Store:
    """Reads and writes the rows of runs in one database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    # -- runs and settings --------------------------------------------------------------------------------------

    def get_meta(self, key: str) -> str | None:
        """A setting of the whole directory."""
        with self.database.transaction() as connection:
            return connection.scalar(select(schema.meta.c.value).where(schema.meta.c.key == key))

    def last_run(self) -> RunRecord | None:
        """The newest run, or None in a new ledger."""
        columns = [schema.runs.c[name] for name in RunRecord.__slots__]
        query = select(*columns).order_by(schema.runs.c.number.desc()).limit(1)
        with self.database.transaction() as connection:
            row = connection.execute(query).mappings().first()
        return RunRecord(**row) if row else None

    def begin_run(
        self,
        run_id: str,
        decisions: str,
        config: Mapping[str, Any],
        versions: Mapping[str, str],
        seeds: Iterable[Instruction],
        bad: int,
        identity: Mapping[str, str],
    ) -> None:
        """Open a new run with its seeds as the population of round 1; an unfinished one before it is abandoned.

        Args:
            versions: of plugins and models, by what messages call them.
            identity: settings of the whole directory, stored with its first run.
        """
        runs = schema.runs
        with self.database.transaction() as connection:
            connection.execute(update(runs).where(runs.c.status == "running").values(status="abandoned"))
            number = (connection.scalar(select(func.max(runs.c.number))) or 0) + 1
            row = {"id": run_id, "number": number, "status": "running", "decisions": decisions, "config": dict(config)}
            row["versions"] = dict(versions)
            row |= {"seeds_bad": bad, "seconds": 0.0, "started_at": datetime.now(UTC).isoformat(timespec="seconds")}
            connection.execute(runs.insert(), [row])
            self.database.insert(connection, schema.meta, [{"key": k, "value": v} for k, v in identity.items()])
            numbered = enumerate(seeds)
            while page := list(islice(numbered, PAGE)):
                places = [
                    {"run_id": run_id, "round": 1, "position": position, "instruction_id": seed.id}
                    for position, seed in page
                ]
                members = [instruction_row(run_id, seed, position) for position, seed in page]
                self.database.insert(connection, schema.instructions, members)
                self.database.insert(connection, schema.population, places)

    def add_seconds(self, run_id: str, seconds: float) -> None:
        """Add to the time that the run has taken, over all processes that worked on it."""
        runs = schema.runs
        with self.database.transaction() as connection:
            connection.execute(update(runs).where(runs.c.id == run_id).values(seconds=runs.c.seconds + seconds))

    def admitted(self, run_id: str, round: int) -> int:
        """How many operator calls of `round` a budget has let through."""
        runs = schema.runs
        with self.database.transaction() as connection:
            found = connection.scalar(select(runs.c.admitted).where(runs.c.id == run_id)) or {}
        return int(found["calls"]) if found.get("round") == round else 0

    def admit(self, run_id: str, round: int, calls: int) -> None:
        """Let the first `calls` operator calls of `round` through, whatever becomes of the budget."""
        runs = schema.runs
        with self.database.transaction() as connection:
            value = {"round": round, "calls": calls}
            connection.execute(update(runs).where(runs.c.id == run_id).values(admitted=value))

    def end_run(self, run_id: str, stop_reason: str, summary: Mapping[str, Any]) -> None:
        """Mark a run as done."""
        runs = schema.runs
        with self.database.transaction() as connection:
            values = {"status": "done", "stop_reason": stop_reason, "summary": dict(summary)}
            connection.execute(update(runs).where(runs.c.id == run_id).values(**values))

    # -- population ---------------------------------------------------------------------------------------------

    def population_size(self, run_id: str, round: int) -> int:
        """How many members the population of `round` has."""
        table = schema.population
        query = select(func.count()).where(table.c.run_id == run_id, table.c.round == round)
        with self.database.transaction() as connection:
            return connection.scalar(query) or 0

    def population(self, run_id: str, round: int, start: int, limit: int) -> list[Instruction]:
        """Members at positions start, start + 1, … of the population of `round`."""
        place, member = schema.population, schema.instructions
        joined = and_(member.c.run_id == place.c.run_id, member.c.id == place.c.instruction_id)
        query = (
            select(member)
            .select_from(place.join(member, joined))
            .where(place.c.run_id == run_id, place.c.round == round)
            .where(place.c.position >= start, place.c.position < start + limit)
            .order_by(place.c.position)
        )
        with self.database.transaction() as connection:
            return [instruction(row) for row in connection.execute(query).mappings()]

    def population_at(self, run_id: str, round: int, positions: Sequence[int]) -> list[Instruction]:
        """Members at `positions` of the population of `round`, in that order."""
        place, member = schema.population, schema.instructions
        joined = and_(member.c.run_id == place.c.run_id, member.c.id == place.c.instruction_id)
        here = select(place.c.position.label("place"), member).select_from(place.join(member, joined))
        here = here.where(place.c.run_id == run_id, place.c.round == round)
        found: dict[int, Instruction] = {}
        with self.database.transaction() as connection:
            for start in range(0, len(positions), PAGE):
                query = here.where(place.c.position.in_(positions[start : start + PAGE]))
                found |= {row["place"]: instruction(row) for row in connection.execute(query).mappings()}
        return [found[position] for position in positions]

    def begin_stage(self, run_id: str, round: int, since: int) -> None:
        """Make what has survived the stage that began with round `since` the population of `round`, the next one's."""
        table, place = schema.candidates, schema.population
        number = func.row_number().over(order_by=(table.c.round, table.c.position)) - 1
        places = _kept(run_id).where(table.c.round >= since, table.c.round < round).order_by(None)
        places = places.with_only_columns(table.c.run_id, literal(round), number, table.c.id)
        with self.database.transaction() as connection:
            # A round that was planned before its stage came to its end: a killed run may have left it.
            connection.execute(place.delete().where(place.c.run_id == run_id, place.c.round == round))
            self.database.insert_from(connection, place, _PLACE, places)

    def replace(self, run_id: str, round: int, replacement: Replacement) -> None:
        """Make the population of the round after `round`, in which the stage goes on."""
        with self.database.transaction() as connection:
            places = replacement.places(run_id, round)
            self.database.insert_from(connection, schema.population, _PLACE, places)

    def add_methods(self, run_id: str, round: int, params: Mapping[str, Mapping[str, Any]]) -> None:
        """Record the parameters that operators have from `round` on."""
        rows = [{"run_id": run_id, "round": round, "operator": n, "params": dict(p)} for n, p in params.items()]
        with self.database.transaction() as connection:
            self.database.insert(connection, schema.methods, rows)

    def methods(self, run_id: str, since: int, round: int) -> dict[str, dict[str, Any]]:
        """The parameters that an optimizer has given to operators for `round`, in the stage that began with `since`."""
        table = schema.methods
        query = select(table).where(table.c.run_id == run_id, table.c.round >= since, table.c.round <= round)
        with self.database.transaction() as connection:
            rows = connection.execute(query.order_by(table.c.round)).mappings()
            return {row["operator"]: row["params"] for row in rows}

    # -- candidates ---------------------------------------------------------------------------------------------

    def recorded(self, run_id: str, ids: Sequence[str]) -> set[str]:
        """Those of `ids`, a page of them at the most, that are candidates already."""
        table = schema.candidates
        with self.database.transaction() as connection:
            return set(connection.scalars(select(table.c.id).where(table.c.run_id == run_id, table.c.id.in_(ids))))

    def add_candidates(self, run_id: str, rows: Sequence[NewCandidate]) -> None:
        """Record candidates in one transaction; those recorded before stay as they are."""
        with self.database.transaction() as connection:
            self.database.insert(connection, schema.candidates, [candidate_row(run_id, row) for row in rows])

    def candidates(
        self, run_id: str, round: int, after: int = -1, limit: int = PAGE, *, undecided: bool = False
    ) -> list[StoredCandidate]:
        """A page of the candidates of `round` in order of position, from behind position `after`."""
        table = schema.candidates
        query = select(*_COLUMNS).where(table.c.run_id == run_id, table.c.round == round, table.c.position > after)
        if undecided:
            query = query.where(~exists().where(JUDGED))
        with self.database.transaction() as connection:
            rows = connection.execute(query.order_by(table.c.position).limit(limit)).mappings().all()
            return self._assemble(connection, run_id, rows)

    def count_candidates(self, run_id: str, round: int, *, undecided: bool = False) -> int:
        """How many candidates `round` has, or how many of them have no verdict."""
        table, verdict = schema.candidates, schema.verdicts
        count = select(func.count()).where(table.c.run_id == run_id, table.c.round == round)
        with self.database.transaction() as connection:
            found = connection.scalar(count) or 0
            if undecided:
                judged = select(func.count()).where(verdict.c.run_id == run_id, verdict.c.round == round)
                found -= connection.scalar(judged) or 0
        return found

    def candidates_by_id(self, run_id: str, ids: Sequence[str]) -> list[Candidate]:
        """Candidates in the order of `ids`, each of which there is."""
        table = schema.candidates
        found: dict[str, Candidate] = {}
        with self.database.transaction() as connection:
            for start in range(0, len(ids), PAGE):
                query = select(*_COLUMNS).where(table.c.run_id == run_id, table.c.id.in_(ids[start : start + PAGE]))
                rows = connection.execute(query).mappings().all()
                found |= {row.candidate.id: row.candidate for row in self._assemble(connection, run_id, rows)}
        return [found[id] for id in ids]

    def _assemble(self, connection: Connection, run_id: str, rows: Sequence[RowMapping]) -> list[StoredCandidate]:
        parents = self._instructions(connection, run_id, {id for row in rows for id in row["parent_ids"]})
        scores = self._scores(connection, run_id, [row["id"] for row in rows])
        return [stored(row, parents, scores.get(row["id"], {})) for row in rows]

    def _instructions(self, connection: Connection, run_id: str, ids: Iterable[str]) -> dict[str, Instruction]:
        table, wanted = schema.instructions, sorted(ids)
        found: dict[str, Instruction] = {}
        for start in range(0, len(wanted), PAGE):
            query = select(table).where(table.c.run_id == run_id, table.c.id.in_(wanted[start : start + PAGE]))
            found.update({row["id"]: instruction(row) for row in connection.execute(query).mappings()})
        return found

    def _scores(self, connection: Connection, run_id: str, ids: Sequence[str]) -> dict[str, dict[str, Score]]:
        table = schema.scores
        found: dict[str, dict[str, Score]] = {}
        for start in range(0, len(ids), PAGE):
            query = select(table).where(table.c.run_id == run_id, table.c.candidate_id.in_(ids[start : start + PAGE]))
            for row in connection.execute(query.order_by(table.c.scorer)).mappings():
                score = Score(row["value"], row["reason"], row["details"])
                found.setdefault(row["candidate_id"], {})[row["scorer"]] = score
        return found

    # -- critic and eliminator ----------------------------------------------------------------------------------

    def save_critiques(self, run_id: str, round: int, critiques: Sequence[Critique]) -> None:
        """Record responses, scores and screening verdicts in one transaction."""
        table = schema.candidates
        answered = [
            {
                "key": critique.candidate_id,
                "response": critique.response,
                "response_finish_reason": critique.response_finish_reason,
                "responder": critique.responder,
                "data": dict(critique.data),
            }
            for critique in critiques
            if critique.response is not None
        ]
        with self.database.transaction() as connection:
            if answered:
                statement = update(table).where(table.c.run_id == run_id, table.c.id == bindparam("key"))
                connection.execute(
                    statement.values({name: bindparam(name) for name in answered[0] if name != "key"}), answered
                )
            rows = [row for critique in critiques for row in score_rows(run_id, critique.candidate_id, critique.scores)]
            self.database.insert(connection, schema.scores, rows)
            rows = [row for item in critiques for row in response_rows(run_id, item.candidate_id, item.responses)]
            self.database.insert(connection, schema.responses, rows)
            screened = {critique.candidate_id: critique.verdict for critique in critiques if critique.verdict}
            self._insert_verdicts(connection, run_id, round, screened)

    def save_scores(self, run_id: str, scores: Mapping[str, Mapping[str, Score]]) -> None:
        """Record scores by candidate and scorer, and what they attach to the candidates."""
        table = schema.candidates
        rows = [row for id, by_scorer in scores.items() for row in score_rows(run_id, id, by_scorer)]
        with self.database.transaction() as connection:
            self.database.insert(connection, schema.scores, rows)
            for id, by_scorer in scores.items():
                if any(score.data for score in by_scorer.values()):
                    here = and_(table.c.run_id == run_id, table.c.id == id)
                    data = dict(connection.scalar(select(table.c.data).where(here)) or {})
                    for score in by_scorer.values():
                        data |= score.data
                    connection.execute(update(table).where(here).values(data=data))

    def has_reviews(self) -> bool:
        """Whether a person has decided on anything in this directory."""
        with self.database.transaction() as connection:
            return connection.scalar(select(schema.reviews.c.key).limit(1)) is not None

    def reviews(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What a person has decided, in whichever run, by the key of what was shown."""
        table = schema.reviews
        found: dict[str, dict[str, Any]] = {}
        with self.database.transaction() as connection:
            for start in range(0, len(keys), PAGE):
                query = select(table).where(table.c.key.in_(keys[start : start + PAGE]))
                found |= {row["key"]: dict(row) for row in connection.execute(query).mappings()}
        return found

    def save_reviews(self, rows: Sequence[dict[str, Any]]) -> None:
        """Record a person's decisions; those recorded before stay as they are."""
        with self.database.transaction() as connection:
            self.database.insert(connection, schema.reviews, rows)

    def save_figures(self, run_id: str, round: int, figures: Mapping[str, float]) -> None:
        """Record what plugins measured of the whole dataset after `round`."""
        rows = [{"run_id": run_id, "round": round, "name": name, "value": value} for name, value in figures.items()]
        with self.database.transaction() as connection:
            self.database.insert(connection, schema.figures, rows)

    def figures(self, run_id: str) -> dict[int, dict[str, float]]:
        """What plugins measured, by round and name."""
        table = schema.figures
        query = select(table).where(table.c.run_id == run_id).order_by(table.c.round, table.c.name)
        found: dict[int, dict[str, float]] = {}
        with self.database.transaction() as connection:
            for row in connection.execute(query).mappings():
                found.setdefault(row["round"], {})[row["name"]] = row["value"]
        return found

    def save_verdicts(self, run_id: str, round: int, verdicts: Mapping[str, Verdict]) -> None:
        """Record verdicts before the round is finished; a candidate that has one keeps it."""
        with self.database.transaction() as connection:
            self._insert_verdicts(connection, run_id, round, verdicts)

    def keep_undecided(self, run_id: str, round: int) -> None:
        """Keep every candidate of `round` that has no verdict, without a look at any."""
        table, verdict = schema.candidates, schema.verdicts
        rows = select(table.c.run_id, table.c.id, table.c.round, literal(True), literal(""), literal(""))
        rows = rows.where(table.c.run_id == run_id, table.c.round == round, ~exists().where(JUDGED))
        columns = ["run_id", "candidate_id", "round", "kept", "rule", "detail"]
        with self.database.transaction() as connection:
            connection.execute(verdict.insert().from_select(columns, rows))

    def finish_round(self, run_id: str, round: int, verdicts: Verdicts) -> None:
        """Record the round's last verdicts and its survivors: all of it, or nothing. No row leaves the database."""
        table = schema.candidates
        copied = [
            "run_id",
            "id",
            "round",
            "position",
            "stage",
            "operator",
            "seed_id",
            "parent_ids",
            "instruction",
            "input",
            "data",
        ]
        columns = [*(table.c[name] for name in copied), func.coalesce(table.c.response, "")]
        survivors = _kept(run_id).where(table.c.round == round).with_only_columns(*columns)
        with self.database.transaction() as connection:
            self._insert_verdicts(connection, run_id, round, verdicts)
            self.database.insert_from(connection, schema.instructions, [*copied, "output"], survivors)

    def _insert_verdicts(self, connection: Connection, run_id: str, round: int, verdicts: Verdicts) -> None:
        items = iter(verdicts.items())
        while page := list(islice(items, PAGE)):
            rows = [
                {
                    "run_id": run_id,
                    "candidate_id": id,
                    "round": round,
                    "kept": verdict.kept,
                    "rule": verdict.rule,
                    "figure": verdict.figure,
                    "threshold": verdict.threshold,
                    "detail": verdict.detail,
                }
                for id, verdict in page
            ]
            self.database.insert(connection, schema.verdicts, rows)

    # -- what came of it ----------------------------------------------------------------------------------------

    def stages(self, run_id: str) -> dict[str, tuple[int, int]]:
        """The first and the last round of each stage that has candidates, in order."""
        table = schema.candidates
        first = func.min(table.c.round)
        query = select(table.c.stage, first, func.max(table.c.round)).where(table.c.run_id == run_id)
        with self.database.transaction() as connection:
            rows = connection.execute(query.group_by(table.c.stage).order_by(first)).all()
        return {stage: (low, high) for stage, low, high in rows}

    def totals(self, run_id: str, first: int = 1, last: int | None = None) -> Totals:
        """The balance of a run, or of the rounds from `first` to `last`."""
        table, verdict = schema.candidates, schema.verdicts
        count = select(func.count()).where(table.c.run_id == run_id)
        judged = select(verdict.c.kept, verdict.c.rule, func.count()).where(verdict.c.run_id == run_id)
        if first > 1:
            count, judged = count.where(table.c.round >= first), judged.where(verdict.c.round >= first)
        if last is not None:
            count, judged = count.where(table.c.round <= last), judged.where(verdict.c.round <= last)
        with self.database.transaction() as connection:
            candidates = connection.scalar(count) or 0
            rows = connection.execute(judged.group_by(verdict.c.kept, verdict.c.rule)).all()
        survivors = sum(number for kept, _, number in rows if kept)
        rejected = {rule: number for kept, rule, number in sorted(rows, key=lambda row: row[1]) if not kept}
        return Totals(candidates, survivors, rejected)

    def commonest_detail(self, run_id: str, rule: str, words: str) -> tuple[int, str, int]:
        """How often a rule says something with `words` in it, what it says most often then, and how often that."""
        table = schema.verdicts
        here = and_(table.c.run_id == run_id, table.c.rule == rule, table.c.detail.contains(words, autoescape=True))
        query = select(table.c.detail, func.count()).where(here).group_by(table.c.detail).order_by(func.count().desc())
        with self.database.transaction() as connection:
            total = connection.scalar(select(func.count()).where(here)) or 0
            row = connection.execute(query.limit(1)).first()
        return (total, row[0], row[1]) if row else (0, "", 0)

    def dataset(self, run_id: str, stage: str, *, responses: bool = False) -> Iterator[dict[str, Any]]:
        """The survivors of `stage` as rows of the dataset, in order of round and position.

        Args:
            responses: each row has all of its responses too; an empty list where there was one only.
        """
        place, last = tuple_(schema.candidates.c.round, schema.candidates.c.position), (0, -1)
        while True:
            query = _kept(run_id, stage).where(place > last).limit(PAGE)
            with self.database.transaction() as connection:
                rows = connection.execute(query).mappings().all()
                scores = self._scores(connection, run_id, [row["id"] for row in rows])
                others = self._responses(connection, run_id, [row["id"] for row in rows]) if responses else {}
            for row in rows:
                yield {
                    "id": row["id"],
                    "parent_ids": row["parent_ids"],
                    "seed_id": row["seed_id"],
                    "round": row["round"],
                    "operator": row["operator"],
                    "instruction": row["instruction"],
                    "input": row["input"],
                    "output": row["response"] or "",
                    "scores": {name: score.value for name, score in scores.get(row["id"], {}).items()},
                    "data": row["data"],
                    "model": row["model"],
                    "responder": row["responder"] or "",
                    **({"responses": others.get(row["id"], [])} if responses else {}),
                }
            if len(rows) < PAGE:
                return
            last = (rows[-1]["round"], rows[-1]["position"])

    def dataset_id(self, run_id: str, stage: str, row: int) -> str | None:
        """The identifier of a row of the dataset, counted from 1; None where it has fewer."""
        query = _kept(run_id, stage).with_only_columns(schema.candidates.c.id).offset(row - 1).limit(1)
        with self.database.transaction() as connection:
            return connection.scalar(query)

    def responses(self, run_id: str, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """Of candidates with several responses all of these, in the order in which they were drawn, as mappings."""
        with self.database.transaction() as connection:
            return self._responses(connection, run_id, ids)

    def _responses(self, connection: Connection, run_id: str, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        table = schema.responses
        found: dict[str, list[dict[str, Any]]] = {}
        for start in range(0, len(ids), PAGE):
            query = select(table).where(table.c.run_id == run_id, table.c.candidate_id.in_(ids[start : start + PAGE]))
            for row in connection.execute(query.order_by(table.c.candidate_id, table.c.number)).mappings():
                shown = {name: row[name] for name in ("response", "finish_reason", "scores", "rank", "kept")}
                found.setdefault(row["candidate_id"], []).append(shown)
        return found

    def rounds(self, run_id: str) -> int:
        """The last round that has candidates; 0 before the first."""
        table = schema.candidates
        with self.database.transaction() as connection:
            return connection.scalar(select(func.max(table.c.round)).where(table.c.run_id == run_id)) or 0

    def counts_by(self, run_id: str, column: str) -> dict[str, tuple[int, int]]:
        """(candidates, survivors) by a column of the candidates, such as "operator" or "round"."""
        table, verdict = schema.candidates, schema.verdicts
        key = table.c[column]
        kept = func.sum(func.coalesce(verdict.c.kept.cast(Integer), 0))
        query = select(key, func.count(), kept).select_from(table.outerjoin(verdict, JUDGED))
        with self.database.transaction() as connection:
            rows = connection.execute(query.where(table.c.run_id == run_id).group_by(key).order_by(key)).all()
        return {str(value): (count, int(survived or 0)) for value, count, survived in rows}

    def find(self, run_id: str, id: str) -> tuple[StoredCandidate, Verdict | None] | Instruction | None:
        """A candidate with its verdict, or a seed, by its identifier."""
        table = schema.candidates
        with self.database.transaction() as connection:
            row = (
                connection.execute(select(*_COLUMNS).where(table.c.run_id == run_id, table.c.id == id))
                .mappings()
                .first()
            )
            if row is None:
                return self._instructions(connection, run_id, [id]).get(id)
            return self._assemble(connection, run_id, [row])[0], self._verdicts(connection, run_id, [id]).get(id)

    def children(self, run_id: str, parent_id: str) -> list[tuple[StoredCandidate, Verdict | None]]:
        """All candidates that were made from `parent_id`, with their verdicts, in order of round."""
        table = schema.candidates
        query = select(*_COLUMNS).where(table.c.run_id == run_id, table.c.parent_id == parent_id)
        with self.database.transaction() as connection:
            rows = connection.execute(query.order_by(table.c.round, table.c.position)).mappings().all()
            verdicts = self._verdicts(connection, run_id, [row["id"] for row in rows])
            stored = self._assemble(connection, run_id, rows)
        return [(item, verdicts.get(item.candidate.id)) for item in stored]

    def verdicts(self, run_id: str, ids: Sequence[str]) -> dict[str, Verdict]:
        """Verdicts by candidate."""
        with self.database.transaction() as connection:
            return self._verdicts(connection, run_id, ids)

    def _verdicts(self, connection: Connection, run_id: str, ids: Sequence[str]) -> dict[str, Verdict]:
        table = schema.verdicts
        found: dict[str, Verdict] = {}
        for start in range(0, len(ids), PAGE):
            query = select(table).where(table.c.run_id == run_id, table.c.candidate_id.in_(ids[start : start + PAGE]))
            for row in connection.execute(query).mappings():
                verdict = Verdict(row["kept"], row["rule"], row["figure"], row["threshold"], row["detail"])
                found[row["candidate_id"]] = verdict
        return found


def _kept(run_id: str, stage: str | None = None) -> Select[Any]:
    """The rows of the candidates that survived, in order of round and position; of one stage, or of all."""
    table, verdict = schema.candidates, schema.verdicts
    query = (
        select(*_COLUMNS)
        .select_from(table.join(verdict, JUDGED))
        .where(table.c.run_id == run_id, verdict.c.kept)
        .order_by(table.c.round, table.c.position)
    )
    return query if stage is None else query.where(table.c.stage == stage)


_PLACE = ["run_id", "round", "position", "instruction_id"]

_COLUMNS = [column for column in schema.candidates.c if column.name != "raw"]  # completions are long, and for people

JUDGED = and_(
    schema.verdicts.c.run_id == schema.candidates.c.run_id, schema.verdicts.c.candidate_id == schema.candidates.c.id
)

"""A reader's table of one run: every candidate with its parent, what the rules said, and what a person says of it.

    python benchmarks/quality.py RUN > table.md                    # to read, verdicts empty
    python benchmarks/quality.py RUN --verdicts FILE > table.md    # with a person's verdicts

FILE holds a line a candidate: `ID genuine` or `ID no: why`. Genuine is a real, different, harder or rarer instruction.
"""

from __future__ import annotations

import argparse
import sqlite3
from pathlib import Path

QUERY = """
select c.id, c.operator, c.instruction, c.input, i.instruction, i.input, v.kept, v.rule, v.figure, v.threshold, c.raw
from candidates c
join instructions i on i.run_id = c.run_id and i.id = c.parent_id
join verdicts v on v.run_id = c.run_id and v.candidate_id = c.id
join runs r on r.id = c.run_id
where r.number = (select max(number) from runs)
order by v.kept desc, c.round, c.position
"""


def cell(text: str, limit: int = 600) -> str:
    return text[:limit].replace("|", "\\|").replace("\n", " ⏎ ") + ("…" if len(text) > limit else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--verdicts", type=Path)
    options = parser.parse_args()
    said: dict[str, str] = {}
    if options.verdicts:
        for line in options.verdicts.read_text().splitlines():
            if line.strip():
                id, _, text = line.partition(" ")
                said[id] = text.strip()
    connection = sqlite3.connect(options.run / "ledger.db")
    rows = connection.execute(QUERY).fetchall()
    kept = [row for row in rows if row[6]]
    genuine = sum(said.get(row[0], said.get(row[0][:8], "")).startswith("genuine") for row in kept)
    print(f"{len(rows)} candidates, {len(kept)} survivors", end="")
    print(f", of which {genuine} genuine by eye ({genuine / max(len(kept), 1):.0%}).\n" if said else ".\n")
    for title, chosen in (("Survivors", kept), ("Rejected", [row for row in rows if not row[6]])):
        print(
            f"## {title}\n\n| id | operator | parent | evolved | rule | by eye |\n| --- | --- | --- | --- | --- | --- |"
        )
        for id, operator, text, input, parent, parent_input, _, rule, figure, threshold, raw in chosen:
            before = cell(parent) + (f" ⏎ *input:* {cell(parent_input, 200)}" if parent_input else "")
            after = cell(text or f"(completion: {raw[:200]})")
            if input and input != parent_input:
                after += f" ⏎ *input:* {cell(input, 300)}"
            figures = [f"{value:.3g}" for value in (figure, threshold) if value is not None]
            why = rule + (f" {' / '.join(figures)}" if figures else "") if rule else ""
            print(f"| {id[:8]} | {operator} | {before} | {after} | {why} | {said.get(id, said.get(id[:8], ''))} |")
        print()


if __name__ == "__main__":
    main()

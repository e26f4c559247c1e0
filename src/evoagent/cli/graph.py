"""evoagent graph: the state machine, drawn."""

from __future__ import annotations

from typing import Annotated

import typer


def graph(
    mermaid: Annotated[
        bool, typer.Option("--mermaid", help="Print Mermaid source instead of a drawing.", envvar="EVOAGENT_MERMAID")
    ] = False,
) -> None:
    """Draw the graph; loads no model."""
    from evoagent.graph import build_graph

    drawing = build_graph().compile(name="evoagent").get_graph()
    typer.echo(drawing.draw_mermaid() if mermaid else DRAWING, nl=not mermaid)


DRAWING = """\
START -> prepare -> evolver -> critic -> eliminator -> finish -> END
                       ^                      |
                       +------ next round ----+

evolver     operators write a harder or rarer instruction from each parent
critic      the responder answers it, the scorers score it
eliminator  rules reject what is no gain, the selector keeps the best
"""

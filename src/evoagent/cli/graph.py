"""evoagent graph: the state machine, drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evoagent.cli.terminal import write


def graph(
    mermaid: Annotated[
        bool, typer.Option("--mermaid", help="Print Mermaid source instead of a drawing.", envvar="EVOAGENT_MERMAID")
    ] = False,
    png: Annotated[
        Path | None,
        typer.Option(help="Write a picture to this file instead.", envvar="EVOAGENT_PNG", dir_okay=False),
    ] = None,
) -> None:
    """Draw the graph; loads no model and asks no service."""
    from evoagent.errors import UserError
    from evoagent.graph import build_graph

    if mermaid and png is not None:
        raise UserError("expected --mermaid or --png, not both")
    drawing = build_graph().compile(name="evoagent").get_graph()
    if png is not None:
        from evoagent.cli.picture import draw
        from evoagent.rundir import check_output

        check_output(png)
        png.write_bytes(draw(drawing))
        write(png)
    else:
        write(drawing.draw_mermaid() if mermaid else DRAWING, end="" if mermaid else "\n")


DRAWING = """\
START -> prepare -> evolver -> critic -> eliminator -> finish -> END
                       ^                      |
                       +------ next round ----+

evolver     operators write a harder or rarer instruction from each parent
critic      the responder answers it, the scorers score it
eliminator  rules reject what is no gain, the selector keeps the best
"""

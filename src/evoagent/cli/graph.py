"""evoagent graph: the state machine, drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evoagent.cli.terminal import write

if TYPE_CHECKING:
    from evoagent.graph.build import Ways


def graph(
    config: Annotated[
        str | None, typer.Argument(help="Draw the ways of this configuration or scenario: its stages, its optimizer.")
    ] = None,
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
    from evoagent.graph.build import build_graph, ways_of

    if mermaid and png is not None:
        raise UserError("expected --mermaid or --png, not both")
    ways: Ways = {"stages": False, "optimizer": False}
    if config is not None:
        from evoagent.runs.config_file import load_config

        ways = ways_of(load_config(config).config)
    drawing = build_graph(**ways).compile(name="evoagent").get_graph()
    if png is not None:
        from evoagent.cli.picture import draw
        from evoagent.ledger.files import check_output

        check_output(png)
        png.write_bytes(draw(drawing))
        write(png)
    else:
        write(drawing.draw_mermaid() if mermaid else _drawn(ways), end="" if mermaid else "\n")


def _drawn(ways: Ways) -> str:
    back = {"next round": "evolver"}
    if ways["optimizer"]:
        back = {"optimizer": "evolver"}
    if ways["stages"]:
        back["next stage"] = "prepare"
    line = "START -> prepare -> evolver -> critic -> eliminator -> finish -> END"
    start = line.index("eliminator") + 4
    drawn = [line]
    for label, node in back.items():
        end = line.index(node) + 3
        drawn.append(" " * end + "^" + " " * (start - end - 1) + "|")
        drawn.append(" " * end + "+" + f" {label} ".center(start - end - 1, "-") + "+")
    return "\n".join([*drawn, "", *(text for node, text in NODES.items() if node != "optimizer" or ways["optimizer"])])


NODES = {
    "evolver": "evolver     operators write a harder or rarer instruction from each parent",
    "critic": "critic      the responder answers it, the scorers score it",
    "eliminator": "eliminator  rules reject what is no gain, the selector keeps the best",
    "optimizer": "optimizer   improves the operators between two rounds",
}

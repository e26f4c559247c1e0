"""A graph as a PNG, drawn here: LangGraph's own drawing asks a web service, or wants Graphviz installed."""

from __future__ import annotations

import io
import itertools
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from langchain_core.runnables.graph import Edge, Graph

WIDTH, HEIGHT, GAP, LANE = 280, 72, 56, 72  # of a box, between boxes, and between lines beside them
MARGIN = 48
INK, PAPER, FILL, END_FILL = "#312e81", "#ffffff", "#eef2ff", "#c7d2fe"


def draw(graph: Graph) -> bytes:
    """A column of boxes in the order of the graph's nodes; edges that skip or go back run beside it."""
    names = list(graph.nodes)
    place = {name: number for number, name in enumerate(names)}
    beside = [edge for edge in graph.edges if place[edge.target] != place[edge.source] + 1]
    size = (2 * MARGIN + WIDTH + LANE * len(beside), 2 * MARGIN + len(names) * HEIGHT + (len(names) - 1) * GAP)
    image = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(26)
    for name, number in place.items():
        ends = name.startswith("__")
        box = (MARGIN, _top(number), MARGIN + WIDTH, _top(number) + HEIGHT)
        pen.rounded_rectangle(box, HEIGHT // 2 if ends else 12, END_FILL if ends else FILL, INK, 3)
        label = name.strip("_").upper() if ends else name
        pen.text((MARGIN + WIDTH // 2, _top(number) + HEIGHT // 2), label, INK, font, anchor="mm")
    for edge in graph.edges:
        if edge in beside:
            _around(pen, edge, place, beside.index(edge))
        else:
            middle = MARGIN + WIDTH // 2
            start, end = _top(place[edge.source]) + HEIGHT, _top(place[edge.target])
            _line(pen, [(middle, start), (middle, end)], edge.conditional)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def _top(number: int) -> int:
    return MARGIN + number * (HEIGHT + GAP)


def _around(pen: ImageDraw.ImageDraw, edge: Edge, place: dict[str, int], lane: int) -> None:
    right = MARGIN + WIDTH
    far = right + LANE * (lane + 1) - LANE // 4
    start, end = _top(place[edge.source]) + HEIGHT // 2, _top(place[edge.target]) + HEIGHT // 2
    _line(pen, [(right, start), (far, start), (far, end), (right, end)], edge.conditional)


def _line(pen: ImageDraw.ImageDraw, points: list[tuple[int, int]], dashed: bool) -> None:
    for (x, y), (to_x, to_y) in itertools.pairwise(points):
        length = abs(to_x - x) + abs(to_y - y)
        steps = range(0, length, 16) if dashed else [0]
        for step in steps:
            until = min(step + 9, length) if dashed else length
            ends = [(x + (to_x - x) * part / length, y + (to_y - y) * part / length) for part in (step, until)]
            pen.line(ends, INK, 3)
    (x, y), (tip_x, tip_y) = points[-2], points[-1]
    if x == tip_x:
        back = 14 if tip_y > y else -14
        pen.polygon([(tip_x, tip_y), (tip_x - 8, tip_y - back), (tip_x + 8, tip_y - back)], INK)
    else:
        back = 14 if tip_x > x else -14
        pen.polygon([(tip_x, tip_y), (tip_x - back, tip_y - 8), (tip_x - back, tip_y + 8)], INK)

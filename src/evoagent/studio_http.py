"""Who may ask the development server: programs, pages of this machine, and LangGraph Studio's own.

The server answers any page that a browser has open, and a run may read files and name servers to send texts to. So a
request with a foreign `Origin` is refused before it is read. `langgraph.json` names `app` below.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

VARIABLE = "EVOAGENT_STUDIO_ORIGINS"
"""Further origins, separated by commas: those of a Studio that is hosted elsewhere."""

STUDIO = ("https://smith.langchain.com", "https://eu.smith.langchain.com")
LOCAL = ("localhost", "127.0.0.1", "::1")


class KnownOrigins:
    """Refuses requests that a page from elsewhere makes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._known = {*STUDIO, *(origin.strip() for origin in os.environ.get(VARIABLE, "").split(","))} - {""}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403, or pass the request on."""
        if scope["type"] in ("http", "websocket"):
            origins = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
            if not all(map(self._is_known, origins)):
                text = f"found a request of the page {origins[0]:.80}, expected one of Studio or of this machine"
                await PlainTextResponse(f"{text}; {VARIABLE} adds others\n", 403)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_known(self, origin: str) -> bool:
        try:
            return origin in self._known or urlsplit(origin).hostname in LOCAL
        except ValueError:
            return False


app = Starlette(middleware=[Middleware(KnownOrigins)])

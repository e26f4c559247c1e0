"""Who may ask the development server: programs, pages of this machine, and LangGraph Studio's own.

The server answers any page that a browser has open, and a run may read files and name servers to send texts to. So a
request with a foreign `Origin` is refused before it is read, and one with a foreign `Host`: a page whose name has come
to mean this machine sends no `Origin` when it reads. `langgraph.json` names `app` below.
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

HOSTS_VARIABLE = "EVOAGENT_STUDIO_HOSTS"
"""Further names of this machine, separated by commas: those by which other machines reach the server."""

STUDIO = ("https://smith.langchain.com", "https://eu.smith.langchain.com")
LOCAL = ("localhost", "127.0.0.1", "::1")


class KnownOrigins:
    """Refuses requests that a page from elsewhere makes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._known = {*STUDIO, *_listed(VARIABLE)}
        self._hosts = {*LOCAL, *_listed(HOSTS_VARIABLE)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403, or pass the request on."""
        if scope["type"] in ("http", "websocket"):
            origins = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
            if not all(map(self._is_known, origins)):
                text = f"found a request of the page {origins[0]:.80}, expected one of Studio or of this machine"
                await PlainTextResponse(f"{text}; {VARIABLE} adds others\n", 403)(scope, receive, send)
                return
            hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
            if not all(_hostname(f"//{host}") in self._hosts for host in hosts):
                text = f"found a request for the host {hosts[0]:.80}, expected this machine's name"
                await PlainTextResponse(f"{text}; {HOSTS_VARIABLE} adds others\n", 403)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_known(self, origin: str) -> bool:
        return origin in self._known or _hostname(origin) in LOCAL


def _listed(variable: str) -> set[str]:
    return {item.strip() for item in os.environ.get(variable, "").split(",")} - {""}


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


app = Starlette(middleware=[Middleware(KnownOrigins)])

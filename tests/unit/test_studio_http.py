"""Who may ask the development server."""

from __future__ import annotations

from typing import Any

import pytest

from evoagent.studio.http import HOSTS_VARIABLE, VARIABLE, KnownOrigins


async def ask(**headers: str) -> int:
    """The status of a request with these headers; 200 where it is let through."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    await KnownOrigins(app)(scope, None, send)  # type: ignore[arg-type]
    return int(sent[0]["status"])


@pytest.mark.parametrize("host", ["localhost:2024", "127.0.0.1:2024", "[::1]:2024", "localhost"])
async def test_this_machine(host: str) -> None:
    assert await ask(host=host) == 200
    assert await ask(host=host, origin="http://localhost:3000") == 200
    assert await ask(host=host, origin="https://smith.langchain.com") == 200


@pytest.mark.parametrize("host", ["rebound.example:2024", "localhost.example", "127.0.0.1.example:2024", "[", ""])
async def test_a_page_whose_name_has_come_to_mean_this_machine(host: str) -> None:
    assert await ask(host=host) == 403


async def test_a_page_from_elsewhere() -> None:
    for origin in ("https://elsewhere.example", "null", "http://[", "http://localhost.example"):
        assert await ask(host="localhost:2024", origin=origin) == 403


async def test_others_that_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "https://studio.example")
    monkeypatch.setenv(HOSTS_VARIABLE, "gpu-box, gpu-box.local")
    assert await ask(host="gpu-box.local:2024", origin="https://studio.example") == 200
    assert await ask(host="other:2024") == 403

"""The one door to an HTTP server: what comes in is bounded, and holds none of the secrets that went out."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from evoagent.errors import RequestError

if TYPE_CHECKING:
    from aiohttp import ClientSession

_SHORTEST = 6  # characters of a word that is masked wherever it stands
_KEPT_S = 4.0  # that an idle connection is kept: uvicorn, under vLLM, closes it after 5, maybe just as we send
_CHUNK = 2**16
_READ = ("retry-after", "location")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered. `headers` are those that are read, by their lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Secrets:
    """Words that nobody may see: plain, in base64, or in the escapes of JSON, also of JSON inside JSON.

    A word of fewer than 6 characters is masked only where an `Authorization` header is quoted: such words stand in
    texts and numbers by chance.
    """

    def __init__(self, words: Iterable[str]) -> None:
        forms = sorted({form for word in words if word for form in _forms(word)}, key=len, reverse=True)
        self._spelled = re.compile(_bytes("|".join("".join(map(_spelled, form)) for form in forms)))
        # The pattern is slow and seldom needed: a form stands there as it is, or with one of these.
        codes = "\\u00" if all(map(str.isascii, forms)) else "\\u"
        escapes = ["\\"] if any(mark in form for form in forms for mark in '\\"') else [codes, "\\/"]
        self._signs = [_bytes(sign) for sign in (*forms, *escapes)] if forms else []

    def hide(self, said: bytes) -> bytes:
        """`said` with *** for each secret."""
        return self._spelled.sub(b"***", said) if any(sign in said for sign in self._signs) else said


class HttpServer:
    """A server, the way to log in there, and the connections to it.

    Attributes:
        url: its address, without user and password.
    """

    def __init__(self, url: str, key: str | None, timeout_s: float) -> None:
        """Take the address apart.

        Args:
            url: may hold a user and a password, percent-encoded: they are sent as a Basic header instead of the key.
            key: is sent as a Bearer header; None where the server wants none.
            timeout_s: for one request, from sending it to its last byte.

        Raises:
            ValueError: `url` is no address; the text goes on after its name, and shows no password.
        """
        self.url, login = _split(url.strip().rstrip("/"))
        if not _is_address(self.url, login):
            if "@" in url:  # what is the password in it, nobody can tell
                raise ValueError(
                    "is no address; expected http://USER:PASSWORD@HOST/v1, with @ / ? # as %40 %2F %3F %23"
                )
            raise ValueError(f"is {url!r}; expected http://… or https://…")
        self._proxy = _proxy(self.url)
        words, proxy_words = _login_words(login), _login_words(_split(self._proxy or "")[1])
        self._secrets = Secrets([key or "", *words, *proxy_words])
        self._headers = {
            "Authorization": f"Basic {_base64(words[0])}" if words else f"Bearer {key or 'EMPTY'}",
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": "evoagent",
        }
        self._timeout_s = timeout_s
        self._session: ClientSession | None = None

    @property
    def is_open(self) -> bool:
        """Whether it can be asked."""
        return self._session is not None

    async def open(self) -> None:
        """Make room for connections."""
        from aiohttp import ClientSession, ClientTimeout, TCPConnector

        # Not `trust_env`: for each request it reads ~/.netrc and the proxies anew, in threads.
        connector = TCPConnector(limit=0, keepalive_timeout=_KEPT_S)
        timeout = ClientTimeout(total=self._timeout_s)
        self._session = ClientSession(connector=connector, headers=self._headers, timeout=timeout)

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def ask(self, url: str, body: bytes | None = None, *, limit: int, timeout_s: float | None = None) -> Reply:
        """Post JSON to `url`, or get it if there is no `body`. No redirect is followed: it would carry the secrets.

        Raises:
            TimeoutError: the last byte has not come in time.
            ConnectionError: nobody answers, or not in HTTP, or not to the end.
            RequestError: the answer has more than `limit` bytes.
        """
        from aiohttp import BytesPayload, ClientTimeout

        if self._session is None:
            raise ConnectionError("the connections are closed")
        seconds, broke, raw = timeout_s or self._timeout_s, "", bytearray()
        timeout = self._session.timeout if timeout_s is None else ClientTimeout(total=timeout_s)
        try:
            async with self._session.request(
                "GET" if body is None else "POST",
                url,
                data=None if body is None else BytesPayload(body),  # without a search for what suits `bytes`
                proxy=self._proxy,
                allow_redirects=False,
                timeout=timeout,
            ) as response:
                broke = "the connection broke in mid-answer: "
                async for chunk in response.content.iter_chunked(_CHUNK):
                    raw += chunk
                    if len(raw) > limit:
                        break
        except TimeoutError:
            raise TimeoutError(f"{self.url} did not answer within {seconds:g} s") from None
        except Exception as error:
            # Not `from error`: it may hold the headers that were sent, for a traceback to show.
            raise ConnectionError(broke + self._said(error)) from None
        if len(raw) > limit:
            raise RequestError(f"the server sent more than {limit} bytes for one request")
        headers = {name: self._hidden(response.headers[name]) for name in _READ if name in response.headers}
        return Reply(response.status, headers, self._secrets.hide(bytes(raw)))

    def _said(self, error: Exception) -> str:
        from aiohttp import ClientResponseError

        text = error.message if isinstance(error, ClientResponseError) else str(error)
        return self._hidden(text or type(error).__name__)

    def _hidden(self, text: str) -> str:
        return self._secrets.hide(_bytes(text)).decode("utf-8", "replace")


def _split(url: str) -> tuple[str, str]:
    """The URL without its login, and the login."""
    scheme, mark, rest = url.partition("://")
    login, _, address = rest.rpartition("@")
    return f"{scheme}{mark}{address}", login


def _is_address(url: str, login: str) -> bool:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return known and login.isprintable() and not any(mark in login for mark in "/?#")


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for `url`."""
    from urllib.request import getproxies, proxy_bypass  # slow to import

    parts, proxies = urlsplit(url), getproxies()
    found = proxies.get(parts.scheme) or proxies.get("all")
    if not found or proxy_bypass(parts.hostname or ""):
        return None
    return found if "://" in found else f"http://{found}"


def _login_words(login: str) -> list[str]:
    """The user and password of a URL as a Basic header holds them, then the password; a user alone is one."""
    if not login:
        return []
    user, _, password = login.partition(":")
    secret = password or user
    return [f"{unquote(user)}:{unquote(password)}", unquote(secret), secret]


def _forms(word: str) -> Iterator[str]:
    encoded = _base64(word).rstrip("=")
    yield encoded if len(encoded) >= _SHORTEST else f"Basic {encoded}"
    if len(word) < _SHORTEST:
        yield f"Bearer {word}"
    else:
        yield from (word, word.lower(), word.upper(), quote(word, safe=""), _base64(f"Bearer {word}").rstrip("="))


def _base64(text: str) -> str:
    return b64encode(_bytes(text)).decode()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _spelled(char: str) -> str:
    """A pattern for the ways in which `char` may be written: JSON inside JSON doubles the backslashes."""
    units = char.encode("utf-16-be", "replace").hex()
    code = "".join(rf"\\\\{{0,3}}(?i:u{units[i : i + 4]})" for i in range(0, len(units), 4))
    plain = {"\\": r"\\\\{0,3}", '"': r"\\{0,4}\"", "/": r"\\{0,4}/"}.get(char, re.escape(char))
    return f"(?:{plain}|{code})"

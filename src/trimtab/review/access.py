"""Who may do what on the pages: hosts, sessions, forms of one's own, and tries at passwords."""

from __future__ import annotations

import hmac
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trimtab.serve.body import read_body
from trimtab.serve.refusal import Refused
from trimtab.store.reviewers import Reviewer, form_token

COOKIE = "trimtab_review"
FORM_TOKEN = "token"  # noqa: S105 - the name of a field
MOST_BYTES = 1_000_000
MOST_FIELDS = 2_000

TRIES_S = 600.0
MOST_TRIES = 8
"""At one name from one address, in that time."""
MOST_TRIES_OF_ONE = 50
"""At one name from all addresses, or at all names from one: with more, a stranger could keep a
reviewer out for long."""
_MOST_KEYS = 10_000

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox"
)
"""Of a run's report, which brings its style along and needs nothing else."""

_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # `no-referrer` would make browsers send forms with `Origin: null`.
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}


@dataclass(frozen=True)
class Visitor:
    """Someone signed in."""

    reviewer: Reviewer
    session: str

    @property
    def form_token(self) -> str:
        return form_token(self.session)

    @property
    def is_admin(self) -> bool:
        return self.reviewer.role == "admin"


class Guard:
    """Around the whole application: refuses foreign hosts, and says to browsers what is allowed.

    A page of another site could have its own name resolve to this machine (DNS rebinding); its
    requests then carry that name.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        host = Request(scope).headers.get("host", "")
        if _host_name(host) not in self._hosts:
            refusal = PlainTextResponse("this host name is not served here\n", 400)
            await refusal(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)


class Tries:
    """Counts tries at passwords, so that none can be guessed by trying."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._made: dict[str, deque[float]] = {}

    def count(self, name: str, address: str) -> None:
        """Count a try, before it is known to be right.

        Raises:
            Refused: with status 429, where there were too many.
        """
        now = self._clock()
        if len(self._made) > _MOST_KEYS:
            self._made.clear()
        for key, most in self._keys(name, address).items():
            made = self._made.setdefault(key, deque(maxlen=MOST_TRIES_OF_ONE))
            while made and made[0] < now - TRIES_S:
                made.popleft()
            if len(made) >= most:
                raise Refused(429, "too many wrong passwords; try again in ten minutes")
        for key in self._keys(name, address):
            self._made[key].append(now)

    def succeeded(self, name: str, address: str) -> None:
        for key in self._keys(name, address):
            self._made.pop(key, None)

    def _keys(self, name: str, address: str) -> dict[str, int]:
        return {
            f"both {name!r} {address}": MOST_TRIES,
            f"name {name!r}": MOST_TRIES_OF_ONE,
            f"address {address}": MOST_TRIES_OF_ONE,
        }


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form; the last one where a name comes twice.

    Raises:
        Refused: it is no such form, too large, or not UTF-8.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Refused(415, "send a form")
    body = await read_body(request, MOST_BYTES)
    try:
        fields = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:
        raise Refused(400, "this form cannot be read") from None
    return dict(fields)


def check_same_site(request: Request, public_url: str | None) -> None:
    """Refuse a form that another site sent; browsers say which one did. A proxy may change the
    host, so the pages' own address counts too.

    Raises:
        Refused: with status 403.
    """
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site", "same-origin")
    own = {f"{scheme}://{request.headers.get('host')}" for scheme in ("http", "https")}
    same = origin is None or origin in own or origin == public_url
    if not same or site not in ("same-origin", "none"):
        raise Refused(403, "this form came from another site")


def check_form_token(visitor: Visitor, form: Mapping[str, str]) -> None:
    """Raises `Refused` with status 403 where the form is not one of this session."""
    given = form.get(FORM_TOKEN, "")
    if not hmac.compare_digest(given.encode(), visitor.form_token.encode()):
        raise Refused(403, "this form is too old; go back, reload the page and send it again")


def served_hosts(host: str, public_url: str | None) -> frozenset[str]:
    """Names under which the pages are reached."""
    names = {"localhost", "127.0.0.1", "::1", host.strip("[]").lower()}
    if public_url is not None:
        names.add((urlsplit(public_url).hostname or "").lower())
    return frozenset(names - {"", "0.0.0.0", "::"})  # noqa: S104 - left out, not listened on


def _host_name(header: str) -> str:
    """The name in a Host header, without the port."""
    try:
        return (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return ""

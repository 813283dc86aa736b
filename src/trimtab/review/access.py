"""Who may do what on the pages: hosts, sessions, forms of one's own, and tries at passwords."""

from __future__ import annotations

import hmac
import math
import time
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
DEVICE_COOKIE = "trimtab_review_device"
DEVICE_DAYS = 90
FORM_TOKEN = "token"  # noqa: S105 - the name of a field
MOST_BYTES = 1_000_000
MOST_FIELDS = 2_000

MOST_TRIES = 8
"""Wrong passwords for one name from one address, before the next one has to wait."""
MOST_TRIES_OF_ONE = 50
"""For one name from all addresses, or for all names from one."""
FIRST_WAIT_S = 15.0
"""Doubles with each further wrong password, up to the longest wait."""
LONGEST_WAIT_S = 600.0
_LONGEST_FOR_NAME_S = 60.0
_LONGEST_FOR_ADDRESS_S = 2.0
"""Behind a proxy all people have its address: this one only keeps the machine from being busy with
passwords."""
FORGOTTEN_S = 3600.0
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


@dataclass
class _Made:
    """Wrong passwords, or such as are being checked."""

    count: int = 0
    last: float = 0.0


class Tries:
    """Slows down those who try passwords, so that none can be guessed.

    A browser in which a person signed in before counts by itself: whoever else tries that person's
    name, or shares the address, cannot keep it out. It gains nothing for guessing, since its proof
    comes with the right password only.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._made: dict[str, _Made] = {}

    def count(self, name: str, address: str, device: str | None = None) -> None:
        """Count a try, before it is known to be right.

        Args:
            device: the proof that this person signed in before in this browser, checked.

        Raises:
            Refused: with status 429, where the last wrong one is too short ago.
        """
        now = self._clock()
        self._make_room()
        for key, (most, longest) in self._keys(name, address, device).items():
            made = self._made.get(key, _Made())
            if made.last < now - FORGOTTEN_S:
                self._made.pop(key, None)
                continue
            doublings = min(made.count - most, 20)
            wait = min(longest, FIRST_WAIT_S * 2**doublings) if doublings >= 0 else 0.0
            if now < made.last + wait:
                seconds = math.ceil(made.last + wait - now)
                raise Refused(429, f"too many wrong passwords; try again in {seconds} seconds")
        for key in self._keys(name, address, device):
            made = self._made.setdefault(key, _Made())
            made.count, made.last = made.count + 1, now

    def succeeded(self, name: str, address: str, device: str | None = None) -> None:
        """The try was right. Others' wrong ones from the same address stay counted."""
        for key in self._keys(name, address, device):
            made = self._made.pop(key, None)
            if made is not None and key == f"address {address}":
                self._made[key] = _Made(made.count - 1, made.last)

    def _keys(self, name: str, address: str, device: str | None) -> dict[str, tuple[int, float]]:
        """What is counted, with how many are free and the longest wait."""
        if device is not None:
            return {f"device {device}": (MOST_TRIES, LONGEST_WAIT_S)}
        return {
            f"both {name!r} {address}": (MOST_TRIES, LONGEST_WAIT_S),
            f"name {name!r}": (MOST_TRIES_OF_ONE, _LONGEST_FOR_NAME_S),
            f"address {address}": (MOST_TRIES_OF_ONE, _LONGEST_FOR_ADDRESS_S),
        }

    def _make_room(self) -> None:
        """Where very many names were tried, the older half is forgotten."""
        if len(self._made) > _MOST_KEYS:
            for key in sorted(self._made, key=lambda key: self._made[key].last)[: _MOST_KEYS // 2]:
                del self._made[key]


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

"""The review server: routes, and the checks before each of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Literal, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from trimtab.errors import DatabaseUnavailable, TrimtabError
from trimtab.review.access import (
    COOKIE,
    DEVICE_COOKIE,
    DEVICE_DAYS,
    Guard,
    Tries,
    Visitor,
    check_form_token,
    check_same_site,
    read_form,
    served_hosts,
)
from trimtab.review.book import Book
from trimtab.review.fill import Filler
from trimtab.review.guidelines import read_guidelines
from trimtab.review.home import HomePages
from trimtab.review.items import ItemPages
from trimtab.review.render import Pages, static_files
from trimtab.review.settings import ReviewSettings
from trimtab.review.shared import SharedDatabase
from trimtab.serve.refusal import Refused
from trimtab.store.database import Database
from trimtab.store.reviewers import (
    Reviewer,
    close_session,
    device_is,
    device_token,
    find_reviewer,
    open_session,
    password_is,
    session_reviewer,
)
from trimtab.store.trail import note
from trimtab.task.spec import Task

FILL_EVERY_S = 20.0
_HASHING = 2
"""Passwords checked at a time; each takes 32 MB and a tenth of a second."""

_log = logging.getLogger("trimtab.review")

_Handler = Callable[[Request, Visitor, Mapping[str, str]], Awaitable[Response]]
_Method = Literal["GET", "POST"]


class ReviewServer:
    """One task's pages, from start to end."""

    def __init__(
        self,
        task: Task,
        folder: Path,
        settings: ReviewSettings,
        database_url: str,
        host: str,
        filler: Filler | None = None,
    ) -> None:
        self._task = task
        self._settings = settings
        self._open = partial(Database, database_url)
        self._shared = SharedDatabase(self._open)
        self._filler = filler
        self._tries = Tries()
        self._hashing = asyncio.Semaphore(_HASHING)
        self._hosts = served_hosts(host, settings.public_url)
        self._pages = Pages(task.name)
        self._book = Book(task, folder, masked_rows=settings.masked_rows)
        guidelines = read_guidelines(task, folder, settings.guidelines)
        self._items = ItemPages(task, self._shared, self._book, guidelines, self._pages)
        self._home = HomePages(task, folder, self._shared, self._pages)

    def app(self) -> ASGIApp:
        items, home = self._items, self._home
        routes = [
            Route("/static/{name}", _static),
            Route("/health", self._health),
            Route("/login", self._show_login),
            Route("/login", self._log_in, methods=["POST"]),
            self._route("/logout", self._log_out, "POST"),
            self._route("/", home.home),
            self._route("/review", items.next),
            self._route("/review/{item}", items.show),
            self._route("/review/{item}", items.take, "POST"),
            self._route("/undo", items.undo, "POST"),
            self._route("/torn", items.torn),
            self._route("/runs/{run}/report", home.report),
            self._route("/promote", home.promote, "POST", admin=True),
            self._route("/rollback", home.roll_back, "POST", admin=True),
            self._route("/alarm", home.close_alarm, "POST", admin=True),
            self._route("/trail", home.trail, admin=True),
        ]
        app = Starlette(
            routes=routes,
            lifespan=self._lifespan,
            exception_handlers={HTTPException: self._not_found, Exception: self._unexpected},
        )
        return Guard(app, self._hosts)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        await self._shared.call(self._book.write_missing)
        filling = asyncio.create_task(self._keep_filled())
        try:
            yield
        finally:
            filling.cancel()
            with suppress(asyncio.CancelledError):
                await filling
            self._shared.close()

    async def _keep_filled(self) -> None:
        """Draw what is due, again and again, until cancelled."""
        while self._filler is not None:
            try:
                await asyncio.to_thread(self._fill, self._filler)
            except Exception:  # or the queue would stay empty for good
                _log.exception("the queue cannot be filled")
            await asyncio.sleep(FILL_EVERY_S)

    def _fill(self, filler: Filler) -> None:
        database = self._open()
        try:
            if drawn := filler.fill(database):
                _log.info("drawn", extra={"items": drawn})
        finally:
            database.close()

    def _route(
        self, path: str, handler: _Handler, method: _Method = "GET", *, admin: bool = False
    ) -> Route:
        """`handler` for those who are signed in, and sent the form from a page of their session."""

        async def checked(request: Request) -> Response:
            visitor: Visitor | None = None
            try:
                if method == "POST":
                    check_same_site(request, self._settings.public_url)
                visitor = await self._visitor(request)
                if visitor is None:
                    return RedirectResponse("/login", 303)
                form: Mapping[str, str] = {}
                if method == "POST":
                    form = await read_form(request)
                    check_form_token(visitor, form)
                if admin and not visitor.is_admin:
                    raise Refused(403, "this is for administrators")
                return await handler(request, visitor, form)
            except Refused as refused:
                return self._pages.problem(visitor, refused.status, f"{refused.message}.")
            except DatabaseUnavailable as error:
                _log.error("database: %s", error)
                return self._pages.problem(visitor, 503, "The database cannot be reached now.")
            except TrimtabError as error:
                _log.error("%s", error)
                return self._pages.problem(visitor, 500, f"{error}.")

        return Route(path, checked, methods=[method])

    async def _visitor(self, request: Request) -> Visitor | None:
        token = request.cookies.get(COOKIE)
        if not token:
            return None
        reviewer = await self._shared.call(
            lambda database: session_reviewer(database, self._task.name, token)
        )
        return None if reviewer is None else Visitor(reviewer, token)

    async def _show_login(self, request: Request) -> Response:
        return self._pages.page("login.html.j2", None, name="", message=None)

    async def _log_in(self, request: Request) -> Response:
        address = request.client.host if request.client else ""
        try:
            check_same_site(request, self._settings.public_url)
            form = await read_form(request)
            name = " ".join(form.get("name", "").split())[:100]
            reviewer = await self._reviewer(name)
            proof = request.cookies.get(DEVICE_COOKIE, "")
            device = proof if reviewer and device_is(reviewer, proof) else None
            self._tries.count(name, address, device)
            token = await self._session(name, reviewer, form.get("password", ""))
        except Refused as refused:
            return self._pages.problem(None, refused.status, f"{refused.message}.")
        except DatabaseUnavailable as error:
            _log.error("database: %s", error)
            return self._pages.problem(None, 503, "The database cannot be reached now.")
        if token is None:
            message = "Name or password is wrong."
            return self._pages.page("login.html.j2", None, 401, name=name, message=message)
        self._tries.succeeded(name, address, device)
        answer = RedirectResponse("/", 303)
        self._set_cookie(answer, COOKIE, token, self._settings.session_hours * 3600, "/")
        if reviewer is not None and device is None:
            proof = device_token(reviewer)
            self._set_cookie(answer, DEVICE_COOKIE, proof, DEVICE_DAYS * 86_400, "/login")
        return answer

    def _set_cookie(
        self, answer: Response, name: str, value: str, seconds: float, path: str
    ) -> None:
        """Out of reach of scripts and other sites; sent over https only where there is that."""
        secure = (self._settings.public_url or "").startswith("https:")
        answer.set_cookie(
            name,
            value,
            max_age=int(seconds),
            path=path,
            httponly=True,
            samesite="lax",
            secure=secure,
        )

    async def _reviewer(self, name: str) -> Reviewer | None:
        if not name.isprintable():
            return None
        task = self._task.name
        return await self._shared.call(lambda database: find_reviewer(database, task, name))

    async def _session(self, name: str, reviewer: Reviewer | None, password: str) -> str | None:
        """A new session's token; None where name or password is wrong."""
        if not name.isprintable():
            return None
        task = self._task.name
        async with self._hashing:
            right = await asyncio.to_thread(password_is, reviewer, password)

        def begin(database: Database) -> str | None:
            if not right or reviewer is None:
                note(database, task, name or "(no name)", "failed to sign in")
                return None
            note(database, task, reviewer.name, "signed in")
            return open_session(database, reviewer, self._settings.session_hours)

        return await self._shared.call(begin)

    async def _log_out(
        self, request: Request, visitor: Visitor, form: Mapping[str, str]
    ) -> Response:
        def close(database: Database) -> None:
            close_session(database, visitor.session)
            note(database, self._task.name, visitor.reviewer.name, "signed out")

        await self._shared.call(close)
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE)
        return answer

    async def _health(self, request: Request) -> Response:
        try:
            await self._shared.call(lambda database: database.query("SELECT 1"))
        except DatabaseUnavailable:
            return PlainTextResponse("the database cannot be reached\n", 503)
        return PlainTextResponse("ok\n")

    async def _not_found(self, request: Request, error: Exception) -> Response:
        found = cast(HTTPException, error)
        return self._pages.problem(None, found.status_code, f"{found.detail}.")

    async def _unexpected(self, request: Request, error: Exception) -> Response:
        """Logged by uvicorn; nobody sees the inside."""
        return self._pages.problem(None, 500, "The server failed; the log says more.")


async def _static(request: Request) -> Response:
    found = static_files().get(str(request.path_params["name"]))
    if found is None:
        raise HTTPException(404)
    text, kind = found
    return Response(text, media_type=kind, headers={"cache-control": "max-age=3600"})

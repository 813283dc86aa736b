"""Follows the database while the server runs: promotions and keys take effect without a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from trimtab.errors import DatabaseUnavailable
from trimtab.serve.keyring import Keyring
from trimtab.serve.live import Live, Loader
from trimtab.serve.metrics import Metrics
from trimtab.serve.service import Service
from trimtab.store.database import Database
from trimtab.store.deployments import Change, current, newest_number
from trimtab.store.keys import ApiKey, list_keys

POLL_S = 0.25
"""A look-up by the primary key; a promotion takes effect after this and the time to load."""

_log = logging.getLogger("trimtab.serve")


class Follower:
    """Keeps `service.live` and `keyring` as the database has them."""

    def __init__(
        self,
        open_database: Callable[[], Database],
        service: Service,
        loader: Loader,
        metrics: Metrics,
    ) -> None:
        self.keyring = Keyring(())
        self.problem: str | None = None
        """Why the newest change, or the database, cannot be used; None while all is well."""
        self._open = open_database
        self._service = service
        self._loader = loader
        self._metrics = metrics
        self._database: Database | None = None
        self._refused = 0
        """Number of the change that could not be loaded."""
        self._why: str | None = None

    async def start(self) -> None:
        """Load what is promoted now.

        Raises:
            TrimtabError: the database or the promoted variants cannot be used.
        """
        change, keys = await asyncio.to_thread(self._look)
        self.keyring = Keyring(keys)
        if change is not None:
            await self._take(change)

    async def follow(self) -> None:
        """Look again and again, until cancelled. A change that cannot be loaded leaves the old
        variants in place, and is tried once: only a newer change can put it right."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self._step()
            except Exception as error:  # or no later change would ever be seen
                self._note("deployments cannot be followed", error)

    async def _step(self) -> None:
        change, keys = await asyncio.to_thread(self._look)
        self.keyring = Keyring(keys)
        if change is None:
            self.problem = None
            return
        if change.number == self._refused:
            self.problem = self._why  # and no longer what else went wrong in between
            return
        try:
            await self._take(change)
        except Exception as error:  # a model may fail to load in any way
            self._refused = change.number
            self._loader.close_unused(self._service.live)
            self._metrics.behind.set(1)
            self._note(f"change {change.number} cannot be loaded", error)
            self._why = self.problem

    def close(self) -> None:
        if self._database is not None:
            self._database.close()

    async def _take(self, change: Change) -> None:
        """Load in another thread, then swap in one step: no call sees half of a deployment."""
        now = self._service.live
        live = await asyncio.to_thread(self._loader.load, change.number, change.state, now)
        self._service.live = live
        self._loader.close_unused(live)
        self._metrics.deployment.set(change.number)
        self._metrics.behind.set(0)
        self.problem = None
        _log.info("deployment", extra=_shown(live, change))

    def _look(self) -> tuple[Change | None, list[ApiKey]]:
        """The newest change, where it is not the one that serves, and all keys."""
        try:
            if self._database is None:
                self._database = self._open()
            live = self._service.live
            task = self._service.task
            newest = newest_number(self._database, task)
            is_new = newest > 0 and (live is None or newest != live.number)
            change = current(self._database, task) if is_new else None
            return change, list_keys(self._database, task)
        except DatabaseUnavailable:
            if self._database is not None:
                self._database.close()
                self._database = None
            raise

    def _note(self, what: str, error: Exception) -> None:
        """Log a problem once, not four times a second."""
        text = f"{what}: {type(error).__name__}: {error}"
        if text != self.problem:
            self.problem = text
            _log.error(text)


def _shown(live: Live, change: Change) -> dict[str, object]:
    return {
        "number": live.number,
        "who": change.who,
        "why": change.why,
        "champion": live.champion.deployed.variant,
        "canary": live.canary.deployed.variant if live.canary else None,
        "share": live.share,
        "shadow": live.shadow.deployed.variant if live.shadow else None,
    }

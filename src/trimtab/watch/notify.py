"""Tells alarms: one line in a file, and one POST to the webhook that the settings name.

The webhook may not be turned against the network that the watch runs in: only the configured
address is called, no redirect is followed, no proxy of the environment is used, and the connection
goes to the very address that was checked, so that a name cannot point elsewhere a moment later.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import httpx
from pydantic import ValidationError

from trimtab.errors import InputError, TrimtabError
from trimtab.store.files import append, read_lines
from trimtab.store.watching import Alarm
from trimtab.watch.settings import AlarmSettings

Resolve = Callable[[str, int], Sequence[str]]
"""All addresses of a host, as text."""


class WebhookRefused(TrimtabError):
    """The webhook was not reached, or may not be called; the alarm stands all the same."""


def write(file: Path, alarms: Iterable[Alarm]) -> None:
    """Append the alarms that the file does not hold yet, as they were opened. Raises `DiskFull`."""
    there = set(_ids(file))
    opened = {"told": False, "closed": None, "closed_by": None, "closed_why": None}
    append(file, [each.model_copy(update=opened) for each in alarms if each.id not in there])


def _ids(file: Path) -> Iterator[str]:
    for _, line in read_lines(file) if file.exists() else ():
        try:
            yield Alarm.model_validate_json(line).id
        except ValidationError:
            continue  # a person's line, or another version's


def post(settings: AlarmSettings, alarm: Alarm, resolve: Resolve | None = None) -> None:
    """Send the alarm to the webhook; it holds no text of any call.

    Raises:
        WebhookRefused: the address is private and that is not allowed, or the webhook did not
            answer with success.
    """
    assert settings.webhook is not None
    url = httpx.URL(settings.webhook)
    port = url.port or (443 if url.scheme == "https" else 80)
    address = _usable_address(url.host, port, settings.allow_private, resolve or _addresses)
    shown = alarm.model_dump(
        mode="json",
        include={"id", "task", "kind", "opened", "message", "labels_wanted", "retrain"},
    )
    name = url.netloc.decode("ascii")
    try:
        with (
            httpx.Client(
                timeout=settings.timeout_seconds, follow_redirects=False, trust_env=False
            ) as client,
            client.stream(
                "POST",
                url.copy_with(host=address),
                json=shown,
                headers={"host": name},
                extensions={"sni_hostname": url.host},
            ) as answer,
        ):
            status = answer.status_code
    except httpx.HTTPError as error:
        raise WebhookRefused(f"the webhook {name} was not reached: {error}") from error
    if not 200 <= status < 300:
        raise WebhookRefused(f"the webhook {name} answered with status {status}")


def _usable_address(host: str, port: int, allow_private: bool, resolve: Resolve) -> str:
    """An address of `host`, once all that it has were found to be public."""
    try:
        found = resolve(host, port)
    except OSError as error:
        raise WebhookRefused(f"the webhook's host {host} has no address: {error}") from error
    if not found:
        raise WebhookRefused(f"the webhook's host {host} has no address")
    if not allow_private:
        for each in found:
            if not _is_public(each):
                raise WebhookRefused(
                    f"the webhook's host {host} has the address {each}, which is not public; set "
                    "alarms.allow_private in watch.yaml where that is meant"
                )
    return found[0]


def _is_public(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError as error:
        raise InputError(f"{address!r} is no address") from error
    mapped = getattr(found, "ipv4_mapped", None) or getattr(found, "sixtofour", None)
    return found.is_global and not found.is_multicast and (mapped is None or mapped.is_global)


def _addresses(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))

"""A real PostgreSQL server for tests, in a folder of its own and on a socket only."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

_NUMBERS = count(1)


def why_not() -> str | None:
    """Why no server can be started here; None where one can."""
    if _binary("initdb") is None:
        return "PostgreSQL's server is not installed (Debian: apt-get install postgresql)"
    if os.geteuid() == 0 and _account() is None:
        return "PostgreSQL does not run as root, and there is no user postgres to run it as"
    return None


@contextmanager
def server() -> Iterator[Path]:
    """Runs a server; gives the folder of its socket."""
    folder = Path(tempfile.mkdtemp(prefix="trimtab-postgres-"))
    if (account := _runs_as()) is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)
    _run(folder, "initdb", "-U", "postgres", "--auth=trust", "--no-sync")
    start(folder)
    try:
        yield folder
    finally:
        stop(folder, "immediate")
        shutil.rmtree(folder, ignore_errors=True)


def start(folder: Path) -> None:
    """Start the server in `folder`, and wait until it answers."""
    options = f"-c listen_addresses= -c unix_socket_directories={folder}"
    _run(folder, "pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")


def stop(folder: Path, mode: str) -> None:
    """`fast` ends connections and writes all down; `immediate` is a crash of the server."""
    _run(folder, "pg_ctl", "-m", mode, "stop")


def new_database(folder: Path) -> str:
    """URL of an empty database of the server whose socket is in `folder`."""
    from pg8000 import dbapi

    name = f"test_{next(_NUMBERS)}"
    socket = f"{folder}/.s.PGSQL.5432"
    connection = dbapi.connect(user="postgres", database="postgres", unix_sock=socket)
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {name}")
    connection.close()
    return f"postgresql://postgres@/{name}?host={folder}"


def _run(folder: Path, name: str, *arguments: str) -> None:
    account = _runs_as()
    subprocess.run(
        [str(_binary(name)), "-D", str(folder / "data"), *arguments],
        check=True,
        capture_output=True,
        user=account.pw_name if account else None,
        cwd=folder,
    )


def _binary(name: str) -> Path | None:
    """From PATH, or from where Debian puts the newest version."""
    for found in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True):
        return found
    on_path = shutil.which(name)
    return Path(on_path) if on_path else None


def _runs_as() -> pwd.struct_passwd | None:
    """Whose processes the server's are; None where they are one's own."""
    return _account() if os.geteuid() == 0 else None


def _account() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return None

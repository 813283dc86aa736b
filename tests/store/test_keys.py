"""A key is shown once; what is kept does not open anything."""

from __future__ import annotations

import pytest

from trimtab.errors import InputError
from trimtab.store.database import Database
from trimtab.store.keys import add_key, list_keys, revoke_key, sha256_of_key


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    yield opened
    opened.close()


def test_only_the_hash_is_kept(database) -> None:
    key = add_key(database, "t", "web shop", "someone")
    (kept,) = list_keys(database, "t")
    assert (kept.name, kept.who, kept.revoked) == ("web shop", "someone", None)
    assert kept.sha256 == sha256_of_key(key)
    assert key.startswith(kept.id)
    assert len(key) - len(kept.id) >= 30, "the id gives too much of the key away"
    stored = str(database.query("SELECT * FROM keys"))
    assert key not in stored


def test_keys_differ_and_belong_to_their_task(database) -> None:
    assert len({add_key(database, "t", "n", "w") for _ in range(5)}) == 5
    assert len(list_keys(database, "t")) == 5
    assert list_keys(database, "another") == []


def test_a_revoked_key_stays_listed_and_is_revoked_once(database) -> None:
    add_key(database, "t", "n", "w")
    (kept,) = list_keys(database, "t")
    revoke_key(database, "t", kept.id)
    assert list_keys(database, "t")[0].revoked is not None
    with pytest.raises(InputError, match="no key"):
        revoke_key(database, "t", kept.id)
    with pytest.raises(InputError, match="no key"):
        revoke_key(database, "another", kept.id)

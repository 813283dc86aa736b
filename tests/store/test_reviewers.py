from __future__ import annotations

import pytest

from trimtab.errors import InputError
from trimtab.store import reviewers
from trimtab.store.database import Database

PASSWORD = "correct horse battery"


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    yield opened
    opened.close()


def add(database, name="reviewer-1", password=PASSWORD, task="names"):
    return reviewers.add_reviewer(database, task, name, "reviewer", password, "a test")


def test_a_password_is_kept_hashed_with_its_own_salt(database) -> None:
    one, other = add(database), add(database, "reviewer-2")
    assert one.secret != other.secret
    ((kept,), _) = database.query("SELECT secret FROM reviewers")
    assert PASSWORD not in kept
    assert reviewers.password_is(one, PASSWORD)
    assert not reviewers.password_is(one, PASSWORD + "x")
    assert not reviewers.password_is(None, PASSWORD)


def test_a_name_is_there_once_and_can_come_back(database) -> None:
    add(database)
    with pytest.raises(InputError, match="already"):
        add(database, " reviewer-1 ")
    add(database, task="other")
    reviewers.revoke_reviewer(database, "names", "reviewer-1")
    assert reviewers.find_reviewer(database, "names", "reviewer-1") is None
    add(database)
    assert len(reviewers.list_reviewers(database, "names")) == 2
    with pytest.raises(InputError):
        reviewers.revoke_reviewer(database, "names", "nobody")


@pytest.mark.parametrize(
    ("name", "password"), [("", PASSWORD), ("a\x1bb", PASSWORD), ("a", "short")]
)
def test_odd_names_and_short_passwords_are_refused(database, name, password) -> None:
    with pytest.raises(InputError):
        add(database, name, password)


def test_a_session_ends_with_its_time_its_close_and_its_reviewer(database) -> None:
    person = add(database)
    token = reviewers.open_session(database, person, hours=1)
    assert reviewers.session_reviewer(database, "names", token).id == person.id
    assert reviewers.session_reviewer(database, "other", token) is None
    assert reviewers.session_reviewer(database, "names", token + "x") is None
    assert token not in str(database.query("SELECT sha256 FROM review_sessions"))
    over = reviewers.open_session(database, person, hours=-1)
    assert reviewers.session_reviewer(database, "names", over) is None
    reviewers.close_session(database, token)
    assert reviewers.session_reviewer(database, "names", token) is None
    last = reviewers.open_session(database, person, hours=1)
    reviewers.revoke_reviewer(database, "names", person.name)
    assert reviewers.session_reviewer(database, "names", last) is None

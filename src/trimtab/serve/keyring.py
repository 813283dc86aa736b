"""Who calls: checks the key of a request against those of the task."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.serve.refusal import Refused
from trimtab.store.keys import ApiKey, sha256_of_key

ANYONE = ""
"""Whose calls they are where no key is asked for."""


class Keyring:
    """The task's keys, as they last were in the database.

    Without any key, revoked ones included, calls need none; once there is one, all do, and
    revoking the last key lets no one in.
    """

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self._ids = {key.sha256: key.id for key in keys if key.revoked is None}
        self.open = not keys

    def owner(self, authorization: str | None) -> str:
        """Id of the key in an `Authorization: Bearer ...` header.

        Looking its hash up in a dict tells nothing by its timing: who guesses a key cannot choose
        its hash.

        Raises:
            Refused: with status 401.
        """
        if self.open:
            return ANYONE
        scheme, _, key = (authorization or "").partition(" ")
        found = self._ids.get(sha256_of_key(key.strip())) if scheme.lower() == "bearer" else None
        if found is None:
            raise Refused(
                401,
                "this server needs a valid key: 'Authorization: Bearer KEY'",
                kind="authentication_error",
                code="invalid_api_key",
            )
        return found

"""API keys: what each one may do. Of the key itself only a hash is known.

A key has 256 random bits. Nobody guesses such a key from its hash however fast the hash is, so
a slow one (scrypt) would protect nothing and cost each request its time.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Priority = Literal["high", "normal", "low"]
Count = Annotated[int, Field(gt=0)]

PREFIX = "sk-specserve-"
RANDOM_BYTES = 32
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class Key(BaseModel):
    """None: no limit of that kind."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(pattern=NAME)
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    concurrency: Count | None = None
    models: Annotated[tuple[str, ...], Field(min_length=1, strict=False)] | None = None
    priority: Priority = "normal"
    admin: bool = False

    def may_use(self, model: str) -> bool:
        return self.models is None or model in self.models


class KeyEntry(Key):
    hash: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")


# Who comes where no keys are configured; no entry may take the name.
ANONYMOUS = Key(name="anonymous", admin=True)


@dataclass(frozen=True)
class KeyRing:
    """Empty: the gateway is open."""

    entries: tuple[KeyEntry, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.entries)

    def find(self, token: str) -> Key | None:
        """Takes as long for a key that is not there as for any that is."""
        wanted = hash_of(token)
        found: Key | None = None
        for entry in self.entries:
            if hmac.compare_digest(wanted, entry.hash):
                found = entry
        return found


def hash_of(token: str) -> str:
    return "sha256:" + hashlib.sha256(token.encode()).hexdigest()


def new_token(random_bytes: Callable[[int], str] = secrets.token_urlsafe) -> str:
    return PREFIX + random_bytes(RANDOM_BYTES)

"""Keys whose tokens can be told from their names."""

from __future__ import annotations

from typing import Any

from server.keys import KeyEntry, KeyRing, hash_of


def token(name: str) -> str:
    return f"sk-specserve-{name}"


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token(name)}"}


def entry(name: str, **limits: Any) -> KeyEntry:  # noqa: ANN401 - as a file has them
    return KeyEntry.model_validate({"name": name, "hash": hash_of(token(name)), **limits})


def ring(*entries: KeyEntry) -> KeyRing:
    """With an admin besides."""
    return KeyRing((entry("admin", admin=True), *entries))

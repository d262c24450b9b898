"""Requests and tokens per minute of each key.

Tokens are charged before they are known: a request is let in for what it may use at most as far
as that can be told, and settled for what it used.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from limits import RateLimitItemPerSecond

from server.errors import ApiError, Limit
from server.keys import Key
from server.quota_store import QuotaStore, Storage
from server.window import WINDOW_S, Window, go_duration

# Of a key's name, in a count that takes everything.
NO_LIMIT = 2**53


@dataclass(frozen=True)
class Charge:
    headers: dict[str, str] = field(default_factory=dict)
    """x-ratelimit-…, as OpenAI has them."""
    tokens: int = 0
    bucket: str | None = None
    """Where the tokens were counted; None: nowhere."""
    storage: Storage | None = None


@dataclass(frozen=True)
class Quotas:
    store: QuotaStore = field(default_factory=QuotaStore)
    window_s: int = WINDOW_S

    async def charge(self, key: Key, tokens: int) -> Charge:
        """Raises ApiError: 429 where a limit is reached, 503 where the store is needed and down."""
        headers: dict[str, str] = {}
        if key.requests_per_minute is not None:
            await self._take("requests", key, key.requests_per_minute, 1, headers)
        if key.tokens_per_minute is None:
            return Charge(headers)
        bucket, storage = await self._take("tokens", key, key.tokens_per_minute, tokens, headers)
        return Charge(headers, tokens, bucket, storage)

    async def settle(self, charge: Charge, used: int) -> None:
        bucket, more = charge.bucket, used - charge.tokens
        if bucket is None or charge.storage is None or more == 0:
            return
        await self.store.amend(
            charge.storage,
            lambda storage: storage.acquire_sliding_window_entry(
                bucket, NO_LIMIT, self.window_s, more
            ),
        )

    async def _take(
        self, what: Limit, key: Key, limit: int, cost: int, headers: dict[str, str]
    ) -> tuple[str, Storage]:
        bucket = RateLimitItemPerSecond(limit, self.window_s).key_for(what, key.name)

        async def work(storage: Storage) -> tuple[bool, Window]:
            taken = await storage.acquire_sliding_window_entry(bucket, limit, self.window_s, cost)
            found = await storage.get_sliding_window(bucket, self.window_s)
            return taken, Window.of(found, self.window_s)

        (taken, window), storage = await self.store.use(work)
        headers.update(_told(what, limit, window))
        if not taken:
            raise _reached(what, key, limit, cost, window, headers)
        return bucket, storage


def _told(what: Limit, limit: int, window: Window) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{what}": str(limit),
        f"x-ratelimit-remaining-{what}": str(window.remaining(limit)),
        f"x-ratelimit-reset-{what}": go_duration(window.reset_s()),
    }


def _reached(
    what: Limit, key: Key, limit: int, cost: int, window: Window, headers: dict[str, str]
) -> ApiError:
    short = "RPM" if what == "requests" else "TPM"
    numbers = f"on {what} per min ({short}): Limit {limit}"
    if cost > limit:
        return ApiError(
            429,
            "rate_limit_exceeded",
            f"Request too large for the key {key.name!r} {numbers}, Requested {cost}. "
            "Send a shorter prompt or a smaller max_tokens; waiting does not help.",
            extra={**headers, "x-should-retry": "false"},
            limit=what,
        )
    wait_s = window.wait_s(limit, cost)
    used = limit - window.remaining(limit)
    return ApiError(
        429,
        "rate_limit_exceeded",
        f"Rate limit reached for the key {key.name!r} {numbers}, Used {used}, Requested {cost}. "
        f"Please try again in {go_duration(wait_s)}.",
        retry_after_s=wait_s,
        extra=headers,
        limit=what,
    )

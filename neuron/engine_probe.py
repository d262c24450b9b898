"""Asked of a running engine from beside it: does it generate, and has it anything left to do?"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import httpx

from neuron.errors import LaunchError
from neuron.startup_check import PROMPT

GENERATED = "vllm:generation_tokens_total"
OUTSTANDING = ("vllm:num_requests_running", "vllm:num_requests_waiting")
SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*)(?:\{.*\})? (?P<value>\S+)", re.MULTILINE)


def check_generates(client: httpx.Client) -> None:
    """Passes if a token comes within the client's timeout: ours, or one of a full engine's others.

    A probe waits behind the requests that fill an engine of few slots; an engine that writes for
    them is well. Raises LaunchError in one sentence.
    """
    before = _sum(client, GENERATED)
    body = {"model": _model(client), "prompt": PROMPT, "max_tokens": 1, "temperature": 0.0}
    try:
        answer = client.post("/v1/completions", json=body)
    except httpx.TimeoutException as error:
        if _sum(client, GENERATED) > before:
            return
        raise LaunchError(
            "The engine generated no token within the probe's time, neither ours nor another's: "
            "its device may hang."
        ) from error
    except httpx.HTTPError as error:
        raise _gone(error) from error
    if answer.is_error:
        raise LaunchError(f"The engine answered the probe's prompt with HTTP {answer.status_code}.")


def wait_idle(
    client: httpx.Client,
    *,
    settle_s: float,
    limit_s: float,
    every_s: float = 1.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Whether the engine had nothing to do for `settle_s` in a row before `limit_s` were over.

    True too where it does not answer: nothing runs in an engine that is gone.
    """
    begun = idle_since = clock()
    while (now := clock()) - begun < limit_s:
        try:
            busy = any(_sum(client, name) > 0 for name in OUTSTANDING)
        except LaunchError:
            return True
        if busy:
            idle_since = clock()
        elif now - idle_since >= settle_s:
            return True
        sleep(every_s)
    return False


def _model(client: httpx.Client) -> str:
    try:
        listed = client.get("/v1/models").raise_for_status().json()
        return str(listed["data"][0]["id"])
    except httpx.HTTPError as error:
        raise _gone(error) from error
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise LaunchError("The engine's /v1/models is no list of models.") from error


def _sum(client: httpx.Client, name: str) -> float:
    try:
        text = client.get("/metrics").raise_for_status().text
    except httpx.HTTPError as error:
        raise _gone(error) from error
    values = [float(found["value"]) for found in SAMPLE.finditer(text) if found["name"] == name]
    if not values:
        raise LaunchError(f"The engine's /metrics has no {name}: it is no vLLM that is known here.")
    return sum(values)


def _gone(error: httpx.HTTPError) -> LaunchError:
    return LaunchError(f"The engine cannot be asked: {type(error).__name__}.")

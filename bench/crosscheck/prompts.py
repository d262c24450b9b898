"""The bench's own prompts as text, since other programs take no tokens."""

from collections.abc import Sequence

import httpx

from bench.client import Target
from bench.errors import EngineFailedError, UnusableError
from bench.prompts import RENDER_TIMEOUT_S, Item


async def texts(target: Target, items: Sequence[Item]) -> tuple[str, ...]:
    """Each prompt's text, which the engine turns into those very tokens again.

    Raises UnusableError where it does not: the programs would then be asked something else.
    """
    async with httpx.AsyncClient(
        base_url=target.base_url, timeout=RENDER_TIMEOUT_S, trust_env=False
    ) as http:
        return tuple([await _text(http, target, item) for item in items])


async def _text(http: httpx.AsyncClient, target: Target, item: Item) -> str:
    wanted = list(item.tokens)
    try:
        text = await _ask(http, "/detokenize", {"model": target.model, "tokens": wanted}, "prompt")
        again = await _ask(http, "/tokenize", {"model": target.model, "prompt": text}, "tokens")
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise EngineFailedError(
            f"The engine at {target.base_url} did not turn tokens into text at /detokenize "
            f"({error}){target.see_log}."
        ) from error
    if again != wanted:
        raise UnusableError(
            f"Prompt {item.index} of {item.workload.name} is other tokens when it is sent as text: "
            "choose another workload."
        )
    return str(text)


async def _ask(http: httpx.AsyncClient, path: str, body: object, key: str) -> object:
    answer = await http.post(path, json=body)
    answer.raise_for_status()
    found: object = answer.json()[key]
    return found

"""The verdict on a whole answer."""

from __future__ import annotations

from typing import Any

from server.structured.contract import Contract, Said
from server.structured.fault import Fault, Verdict
from server.structured.json_text import JsonProgress
from server.structured.wire import cut_short, mapping, said_in_choice, said_in_response

Document = dict[str, Any]


async def examined(contract: Contract, document: Document) -> tuple[Document, Verdict | Fault]:
    """The document says its verdict, and has no white space at its end."""
    if document.get("object") == "response":
        short = document.get("status") != "completed"
        verdict = await verdict_of(contract, said_in_response(document), short=short)
        return marked(document, verdict), verdict
    choices = [_trimmed(contract, choice) for choice in document.get("choices") or ()]
    found: list[Verdict | Fault] = [
        await verdict_of(contract, said_in_choice(choice), short=cut_short(choice))
        for choice in choices
    ]
    verdict = worst(found)
    return marked({**document, "choices": choices}, verdict), verdict


async def verdict_of(contract: Contract, said: Said, *, short: bool) -> Verdict | Fault:
    fault = await contract.check(said)
    if fault is None:
        return "valid"
    return "incomplete" if short else fault


def worst(verdicts: list[Verdict | Fault]) -> Verdict | Fault:
    faults = [one for one in verdicts if isinstance(one, Fault)]
    if faults:
        return faults[0]
    return "incomplete" if "incomplete" in verdicts else "valid"


def marked(document: Document, verdict: Verdict | Fault) -> Document:
    """Where no client of OpenAI's looks, and none stumbles."""
    if isinstance(verdict, Fault):
        return document
    return {**document, "specserve": {"structured": verdict}}


def _trimmed(contract: Contract, choice: Document) -> Document:
    """A whole value that a limit found still followed by white space had ended before."""
    if not contract.json_text or choice.get("finish_reason") != "length":
        return choice
    said = said_in_choice(choice)
    text = said.text.rstrip()
    progress = JsonProgress()
    progress.feed(text)
    if said.calls or text == said.text or not progress.complete:
        return choice
    if "text" in choice:
        return {**choice, "text": text, "finish_reason": "stop"}
    message = {**mapping(choice.get("message")), "content": text}
    return {**choice, "message": message, "finish_reason": "stop"}

"""Which token an id is, for the draft and for the target."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from neuron.errors import PairError

Tokens = Mapping[int, str]


def read_tokens(folder: Path) -> Tokens:
    """Token by id, from tokenizer.json, added tokens included. Raises PairError."""
    path = folder / "tokenizer.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        tokens = {int(token): str(text) for text, token in raw["model"]["vocab"].items()}
        tokens |= {int(added["id"]): str(added["content"]) for added in raw["added_tokens"]}
    except OSError as error:
        raise PairError(
            f"{path} cannot be read ({error.strerror}), so that it cannot be shown that draft and "
            "target mean the same by an id: put the model's tokenizer.json there."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PairError(
            f"{path} holds no vocabulary of the kind that Qwen has (a token to id map)."
        ) from error
    if not tokens:
        raise PairError(f"{path} knows no token at all, so nothing can be compared.")
    return tokens


def check_same_meaning(draft: Tokens, target: Tokens) -> None:
    """An id may be known to one of them alone, but must not be two tokens, nor a token two ids.

    Raises PairError.
    """
    for token, text in draft.items():
        if target.get(token, text) != text:
            raise _refusal(
                f"Id {token} is {text!r} for the draft and {target[token]!r} for the target"
            )
    ids = {text: token for token, text in target.items()}
    for token, text in draft.items():
        if ids.get(text, token) != token:
            raise _refusal(
                f"Token {text!r} is id {token} for the draft and {ids[text]} for the target"
            )


def _refusal(difference: str) -> PairError:
    return PairError(
        f"{difference}: padding cannot make one vocabulary of two; choose a draft with the "
        "target's own tokenizer."
    )

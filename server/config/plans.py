"""What each configured replica would be, known before anything is started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from neuron.pair import Pair, load_pair
from neuron.stacks.capabilities import Capabilities
from neuron.stacks.registry import capabilities
from server.config.sections import ReplicaConfig
from server.config.sources import SettingsError


@dataclass(frozen=True)
class Plan:
    config: ReplicaConfig
    pair: Pair | None
    """Of an engine that is started here; None for one at a URL."""
    capabilities: Capabilities | None
    """None where nothing was said of a URL: nothing is known to be lacking."""

    @property
    def plain(self) -> bool:
        return self.config.pool == "plain"


def plan_all(configs: Sequence[ReplicaConfig]) -> tuple[Plan, ...]:
    """Raises PairError or SettingsError."""
    plans = tuple(_plan(config) for config in configs)
    _require_one_target(plans)
    return plans


def _plan(config: ReplicaConfig) -> Plan:
    pair = None
    if config.pair is not None:
        pair = load_pair(config.pair).with_models(target=config.target, draft=config.draft)
    what = pair or _stand_in(config)
    found = None if what is None else capabilities(what, plain=config.pool == "plain")
    if found is not None and config.pool == "speculative":
        _require_speculation(config, found, pair)
    return Plan(config, pair, found)


def _stand_in(config: ReplicaConfig) -> Pair | None:
    """A pair as far as its capabilities go: of an engine at a URL no more is known."""
    if config.stack is None:
        return None
    try:
        return Pair(
            name=config.name,
            stack=config.stack,
            target="unknown",
            draft="unknown",
            max_model_len=1024,
            max_num_seqs=1,
            served_model_name="unknown",
            plugin=config.plugin,
            sampling=config.sampling,
        )
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise SettingsError(f"Replica {config.name!r}: {why}.") from error


def _require_speculation(config: ReplicaConfig, found: Capabilities, pair: Pair | None) -> None:
    lack = found.lacks.get("speculation")
    if lack is not None:
        raise SettingsError(
            f"Replica {config.name!r} is in the speculative pool, but {lack.why}; set its pool to "
            '"plain".'
        )
    if pair is not None and pair.draft is None:
        raise SettingsError(
            f"Replica {config.name!r} is in the speculative pool, but its pair {pair.name!r} has "
            'no draft; name one with draft, or set its pool to "plain".'
        )


def _require_one_target(plans: Sequence[Plan]) -> None:
    """Both pools answer for the same model, or a request's answer would depend on its pool."""
    known = [(plan.config.name, plan.pair) for plan in plans if plan.pair is not None]
    for name, pair in known[1:]:
        first, other = known[0]
        if (pair.target, pair.served_model_name) != (other.target, other.served_model_name):
            raise SettingsError(
                f"Replica {name!r} serves {pair.target} as {pair.served_model_name!r}, but "
                f"{first!r} serves {other.target} as {other.served_model_name!r}; all replicas "
                "have one target."
            )

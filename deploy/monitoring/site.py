"""What one deployment only can say, as recorded constants: price, model, end of a block."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from deploy.monitoring.recorded import BLOCK_END, MODELLED_STEP, REPLICA_PRICE
from deploy.monitoring.rules import Record
from neuron.cost import Costs, Loop, Model, Setup, loop_of, shipped
from neuron.errors import PairError
from neuron.pair import Pair
from neuron.shapes import shape_of


def site(pair: Pair, *, price: float | None, block_end: datetime | None) -> tuple[Record, ...]:
    """`price` is $/h of one instance; None: what `neuron plan` goes by.

    Raises PairError for a pair that is not of a draft on Trainium, and SpecserveError where the
    shapes of its models are not known.
    """
    if pair.draft is None or pair.instance is None or pair.tp_degree is None:
        raise PairError(
            f"Pair {pair.name!r} is not of a draft on Trainium (draft, instance and tp_degree): "
            "what it should cost cannot be said; leave it out, or give the speculative pair."
        )
    setup = Setup(
        shape_of(pair.target),
        shape_of(pair.draft),
        pair.tp_degree,
        pair.max_num_seqs,
        pair.max_model_len // 2,
    )
    instance = shipped().instances[pair.instance]
    engines = instance.cores.value // pair.tp_degree
    hourly = instance.price.value if price is None else price
    return (
        *_steps(setup, loop_of(pair.stack), pair.num_draft_tokens),
        Record(REPLICA_PRICE, f"vector({hourly / engines:.6f})"),
        *_block(block_end),
    )


def _steps(setup: Setup, loop: Loop, k: int) -> Iterator[Record]:
    parameters = shipped()
    model = Model(parameters.hardware, parameters.calibrated)
    costs = Costs.of(model, setup, loop=loop, max_k=k)
    for pool, ms in (("plain", costs.plain_ms), ("speculative", costs.step_ms(k))):
        yield Record(MODELLED_STEP, f"vector({ms / 1000:.6f})", {"pool": pool})


def _block(end: datetime | None) -> Iterator[Record]:
    if end is None:
        return
    if end.tzinfo is None:
        raise PairError("--block-end has no time zone: write it as 2026-12-01T11:30:00Z.")
    yield Record(BLOCK_END, f"vector({end.timestamp():.0f})")

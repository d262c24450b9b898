"""The recipe in its order; every step only reads."""

from __future__ import annotations

from neuron.pair import Pair
from neuron.preflight import devices, room, software
from neuron.preflight.host import Host
from neuron.preflight.survey import Survey


def preflight(host: Host, pair: Pair | None = None) -> Survey:
    """Whether `host` could start a Neuron engine, and with `pair`, that pair's."""
    listed = devices.listed(host)
    lines = (
        *devices.lines(host, listed, pair),
        *software.lines(host, pair),
        *room.lines(host, listed, pair),
    )
    return Survey(pair=pair.name if pair else None, lines=lines)

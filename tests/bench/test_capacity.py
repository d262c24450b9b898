"""What the client can take, measured on the fake engine that stamps its own sends."""

import json
import os

import pytest
from click.testing import CliRunner

from bench.capacity import STEP_MS, capacity
from bench.cli import cli
from bench.client_limit import ClientLimits
from bench.commands.capacity import render
from bench.provenance import provenance
from bench.setup import Setup

SECONDS = 0.4


@pytest.mark.anyio
async def test_every_event_of_every_stream_is_stamped_after_it_was_sent() -> None:
    told: list[str] = []
    cores = os.sched_getaffinity(0)
    found = await capacity(told.append, levels=(2, 8), seconds=SECONDS)
    assert os.sched_getaffinity(0) == cores
    assert [one.streams for one in found] == [2, 8][: len(found)]
    for one in found:
        assert 0 < one.delay_median <= one.delay_p99 <= one.delay_worst
        # No more than the schedule gives, whatever else the machine does.
        assert 0 < one.events_per_s <= one.streams * 1e3 / STEP_MS * 1.05
        assert one.bytes_per_event > 100
    assert len(told) == len(found)


@pytest.mark.anyio
async def test_it_ends_at_the_first_level_that_is_too_much() -> None:
    strict = ClientLimits(cpu=0.0)
    (one,) = await capacity(lambda _: None, levels=(4, 8, 16), seconds=SECONDS, limits=strict)
    assert len(one.reasons) == 1
    text = render([one], provenance(None, (), {}, 0.0))
    assert "is the limit" in text
    assert "the limit at the first level already" in text


def test_json_has_the_levels_and_where() -> None:
    done = CliRunner().invoke(
        cli, ["capacity", "--seconds", "0.2", "--json"], obj=Setup(watch_s=0.0)
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["levels"][0]["streams"] == 8
    assert found["provenance"]["cores"] >= 2

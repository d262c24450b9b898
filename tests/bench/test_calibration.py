"""The instrument against an engine whose timings are known.

Ground truth is the script of writes. With the virtual clock every figure must come out exactly;
the two real-clock profiles differ by a factor, so that a figure off by a constant cannot pass both.
"""

from itertools import pairwise

import pytest

from bench import timing
from bench.client import Call, Target, send
from bench.record import Reply
from bench.reply import read_reply
from tests.bench.fake_engine import (
    DONE,
    MODEL,
    FakeClock,
    FakeEngine,
    Frame,
    Script,
    Steps,
    chunk_event,
    serving,
    usage_event,
)

pytestmark = pytest.mark.anyio
CALL = Call((1, 2, 3), 50, "salt")


async def observed(script: Script) -> Reply:
    clock = FakeClock()
    async with serving(clock.engine(script)) as url:
        return read_reply(await send(Target("plain", url, MODEL), CALL, clock=clock))


@pytest.mark.parametrize(
    ("sizes", "tpot_ms", "per_chunk"),
    [
        ((1, 1, 1, 1, 1), 20.0, [1, 1, 1, 1]),
        ((1, 8, 8, 8), 60 / 24, [8, 8, 8]),
        ((1, 1, 8, 2, 5), 80 / 16, [1, 8, 2, 5]),
        ((4, 4), 20 / 4, [4]),
        ((3, 1), 20.0, [1]),
        ((7,), None, []),
        ((1,), None, []),
    ],
)
async def test_every_split_of_tokens_into_chunks_gives_the_exact_figures(
    sizes: tuple[int, ...], tpot_ms: float | None, per_chunk: list[int]
) -> None:
    last = len(sizes) - 1
    frames = [
        Frame(
            0.020 if number else 0.300,
            chunk_event("x" * size, [7] * size, "stop" if number == last else None),
        )
        for number, size in enumerate(sizes)
    ]
    reply = await observed(lambda _: [*frames, Frame(0.5, usage_event(sum(sizes)) + DONE)])
    assert reply.problem is None
    assert timing.ttft_ms(reply) == 300
    assert timing.total_ms(reply) == 300 + 20 * last
    assert timing.tpot_ms(reply) == (None if tpot_ms is None else pytest.approx(tpot_ms))
    assert timing.step_gaps_ms(reply) == [20.0] * last
    assert timing.tokens_per_chunk(reply) == per_chunk
    assert reply.merged_chunks == 0


async def test_chunks_that_arrive_in_one_read_share_its_time_and_are_counted() -> None:
    pair = chunk_event("b", [2]) + chunk_event("c", [3, 4])
    frames = [
        Frame(0.1, chunk_event("a", [1])),
        Frame(0.02, pair),
        Frame(0.02, chunk_event("d", [5], "stop") + usage_event(5) + DONE),
    ]
    reply = await observed(lambda _: frames)
    assert [chunk.at_ns for chunk in reply.chunks] == [100e6, 120e6, 120e6, 140e6]
    assert reply.merged_chunks == 1
    assert timing.tpot_ms(reply) == 10.0


async def test_a_stream_that_arrives_in_one_read_has_no_time_per_token() -> None:
    whole = chunk_event("a", [1]) + chunk_event("b", [2], "stop") + usage_event(2) + DONE
    reply = await observed(lambda _: [Frame(0.1, whole)])
    assert reply.problem is None
    assert timing.tpot_ms(reply) is None
    assert reply.merged_chunks == 1


async def test_chunks_that_were_held_up_before_the_first_stamp_took_no_time_after_it() -> None:
    held = b"".join(chunk_event("x", [1]) for _ in range(9))
    frames = [
        Frame(0.5, held),
        Frame(0.04, chunk_event("y", [2])),
        Frame(0.04, chunk_event("z", [3], "stop") + usage_event(11) + DONE),
    ]
    reply = await observed(lambda _: frames)
    assert reply.problem is None
    assert reply.merged_chunks == 8
    assert timing.tpot_ms(reply) == 40.0


async def test_an_event_cut_inside_a_character_counts_when_it_is_whole() -> None:
    data = chunk_event("Köln", [1, 2])
    cut = data.index("ö".encode()) + 1
    frames = [
        Frame(0.1, data[:cut]),
        Frame(0.03, data[cut:]),
        Frame(0.02, chunk_event("!", [3], "stop") + usage_event(3) + DONE),
    ]
    reply = await observed(lambda _: frames)
    assert reply.text == "Köln!"
    assert timing.ttft_ms(reply) == pytest.approx(130)
    assert timing.step_gaps_ms(reply) == [20.0]


async def test_a_chunk_without_tokens_is_no_step() -> None:
    frames = [
        Frame(0.05, chunk_event("", [])),
        Frame(0.05, chunk_event("a", [1])),
        Frame(0.01, chunk_event("", [2])),
        Frame(0.01, chunk_event("bc", [], "stop") + usage_event(2) + DONE),
    ]
    reply = await observed(lambda _: frames)
    assert reply.problem is None
    assert reply.text == "abc"
    assert timing.ttft_ms(reply) == 100
    assert timing.tpot_ms(reply) == 10


# Arrival can lag a write by what the event loop of a loaded machine needs, never lead it.
LATE_PER_CHUNK_MS = 250.0


@pytest.mark.parametrize(
    "profile", [Steps(1, first_s=0.05, step_s=0.04), Steps(4, first_s=0.02, step_s=0.01)]
)
async def test_real_time_has_strict_floors(profile: Steps) -> None:
    answer = "abcdefghi"
    engine = FakeEngine(profile, {"\x01\x02\x03": answer})
    async with serving(engine) as url:
        reply = read_reply(await send(Target("plain", url, MODEL), CALL))
    steps = (len(answer) - 1) // profile.size
    decode_ms = steps * profile.step_s * 1e3
    tpot = timing.tpot_ms(reply)
    assert tpot is not None
    ttft, total = timing.ttft_ms(reply), timing.total_ms(reply)
    first_late = ttft - profile.first_s * 1e3
    assert first_late >= 0
    assert total >= profile.first_s * 1e3 + decode_ms
    assert len(timing.step_gaps_ms(reply)) == steps
    assert tpot * 8 == pytest.approx(total - ttft)
    assert (decode_ms - first_late) / 8 <= tpot + 1e-6
    assert tpot <= (decode_ms + LATE_PER_CHUNK_MS * steps) / 8
    assert all(a.at_ns <= b.at_ns for a, b in pairwise(reply.chunks))

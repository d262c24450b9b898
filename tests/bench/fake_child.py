"""A fake engine as a process: `python -m tests.bench.fake_child PORT plain|speculative`."""

import asyncio
import sys

from tests.bench.fake_engine import FakeEngine, Steps, serving


async def serve(port: int, speculative: bool) -> None:
    async with serving(FakeEngine(Steps(step_s=0.01, speculative=speculative)), port):
        await asyncio.Event().wait()


asyncio.run(serve(int(sys.argv[1]), sys.argv[2] == "speculative"))

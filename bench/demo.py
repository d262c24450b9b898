"""`make demo`: one streamed answer through the gateway, then a short paired measurement."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click
import openai
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionMessageParam
from openai.types.shared_params import ResponseFormatJSONSchema

from bench.busy import WATCH_S
from bench.child import log_folder, ready_child
from bench.edge import finish, run_until_done
from bench.engines import Starter, free_port, start_process
from bench.errors import EngineFailedError, UnusableError
from bench.progress import Teller, teller
from bench.provenance import BUNDLED
from bench.record import Settings
from bench.report import render_report
from bench.run import run_bench
from bench.summary import summarise
from neuron.local.corpus import Example, held_out
from neuron.pair import Pair, load_pair

READY_S = 300.0
REQUEST_S = 60.0
# Prose, not hex: the likeliest hex digits are a loop, which any draft can follow.
WORKLOADS = ("json_extract", "tool_call", "sql", "prose")
SETTINGS = Settings(
    workloads=WORKLOADS,
    prompts=3,
    rounds=1,
    concurrency=(1,),
    max_tokens=240,
    seed=1,
    guided=False,
    warmup=1,
)


GATEWAY = (sys.executable, "-m", "server")


async def demo(
    tell: Teller,
    gateway: Sequence[str] = GATEWAY,
    start: Starter = start_process,
    watch_s: float = WATCH_S,
) -> None:
    pair = load_pair("local")
    click.echo(
        f"Pair {pair.name}: bundled Qwen2-architecture draft and target, real vLLM on this CPU, "
        f"K = {pair.num_draft_tokens}.\n{BUNDLED}\n"
    )
    await _answer(pair, tell, gateway)
    tell.say("now the same target with and without its draft, a few prompts of each kind")
    result = await run_bench(pair, SETTINGS, tell.say, tell.step, start=start, watch_s=watch_s)
    summary = summarise(result)
    click.echo("\n" + render_report(result, summary), nl=False)
    click.echo(
        f"\nA taste with {SETTINGS.prompts} prompts of {len(WORKLOADS)} workloads; "
        "`bench --prompts 50` is for a claim."
    )
    if summary.faults:
        raise UnusableError("Speculative output was not the plain output; see the lines above.")
    if summary.gaps:
        raise UnusableError("Not every workload could be measured; see the lines above.")


async def _answer(pair: Pair, tell: Teller, gateway: Sequence[str]) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    argv = (*gateway, "--host", "127.0.0.1", "--port", str(port))
    tell.say("starting the gateway, which starts the speculative engine (about half a minute)")
    started = time.monotonic()
    with log_folder() as folder:
        log = folder / "gateway.log"
        async with ready_child("gateway", argv, f"{url}/health/ready", log, READY_S):
            tell.say(f"ready after {time.monotonic() - started:.0f} s at {url}")
            await _stream(url, pair, held_out("json_extract", 1, seed=SETTINGS.seed)[0])


async def _stream(url: str, pair: Pair, example: Example) -> None:
    prompt = example.messages[-1]["content"]
    click.echo(f"> {prompt}\n")
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": prompt}]
    usage: CompletionUsage | None = None
    async with openai.AsyncOpenAI(
        base_url=f"{url}/v1", api_key="none", timeout=REQUEST_S, max_retries=0
    ) as client:
        try:
            stream = await client.chat.completions.create(
                model=pair.served_model_name,
                messages=messages,
                response_format=_format(example.schema or {}),
                temperature=0,
                max_tokens=200,
                stream=True,
                stream_options={"include_usage": True},
            )
            async with stream:
                async for event in stream:
                    usage = event.usage or usage
                    text = event.choices[0].delta.content if event.choices else None
                    click.echo(text or "", nl=False)
        except openai.OpenAIError as error:
            raise EngineFailedError(f"The gateway did not answer the request: {error}") from error
    click.echo(f"\n\n{_counted(usage)}\n")


def _format(schema: Mapping[str, Any]) -> ResponseFormatJSONSchema:
    return {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": dict(schema), "strict": True},
    }


def _counted(usage: CompletionUsage | None) -> str:
    details = usage.completion_tokens_details if usage else None
    if usage is None or details is None:
        raise EngineFailedError("The gateway's answer came without usage.")
    return (
        f"{usage.completion_tokens} tokens; of the draft's proposals "
        f"{details.accepted_prediction_tokens} accepted, "
        f"{details.rejected_prediction_tokens} rejected."
    )


async def _main() -> None:
    with teller() as tell:
        await demo(tell)


def main() -> None:
    sys.exit(finish("demo", lambda: run_until_done(_main())))


if __name__ == "__main__":
    main()

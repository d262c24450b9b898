"""An engine that says what it is told to say, when it is told to, over a real socket."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

MODEL = "fake"
Script = Callable[[str], "list[Frame]"]


@dataclass(frozen=True)
class Frame:
    """One socket write, `wait_s` after the one before."""

    wait_s: float
    data: bytes


def event(payload: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(payload, ensure_ascii=False).encode() + b"\n\n"


def chunk_event(text: str, tokens: Sequence[int], finish: str | None = None) -> bytes:
    choice = {"index": 0, "text": text, "token_ids": list(tokens), "finish_reason": finish}
    return event({"id": "x", "choices": [choice]})


def usage_event(tokens: int, accepted: Sequence[int] | None = None, k: int = 7) -> bytes:
    metrics = None
    if accepted is not None:
        metrics = {
            "speculative_decoding": {
                "num_spec_steps": len(accepted),
                "num_draft_tokens": k * len(accepted),
                "num_accepted_draft_tokens": sum(accepted),
                "per_step_accepted": list(accepted),
                "per_step_drafted": [k] * len(accepted),
            }
        }
    usage = {"prompt_tokens": 3, "completion_tokens": tokens, "total_tokens": tokens + 3}
    return event({"id": "x", "choices": [], "usage": usage, "metrics": metrics})


DONE = b"data: [DONE]\n\n"
LOGPROBS = {"token_logprobs": [0.0] * 16, "top_logprobs": [{"a": 0.0}] * 16}
START_UP = {"choices": [{"index": 0, "text": "x", "finish_reason": "length", "logprobs": LOGPROBS}]}
"""What the gateway asks an engine before it takes it."""


@dataclass(frozen=True)
class Steps:
    """A token per character: one in the first chunk, then `size` per step."""

    size: int = 1
    first_s: float = 0.0
    step_s: float = 0.0
    speculative: bool = False
    lost_tokens: int = 0
    """How many fewer tokens the usage admits to."""
    wrong_at: int | None = None
    finish: str = "stop"

    def __call__(self, answer: str) -> list[Frame]:
        tokens = [ord(letter) for letter in answer]
        if self.wrong_at is not None and self.wrong_at < len(tokens):
            tokens[self.wrong_at] += 1
        pieces = [
            tokens[:1],
            *(tokens[i : i + self.size] for i in range(1, len(tokens), self.size)),
        ]
        frames = [
            Frame(
                self.step_s if number else self.first_s,
                chunk_event(
                    "".join(map(chr, piece)),
                    piece,
                    self.finish if number == len(pieces) - 1 else None,
                ),
            )
            for number, piece in enumerate(pieces)
        ]
        accepted = [len(piece) - 1 for piece in pieces[1:]] if self.speculative else None
        return [*frames, Frame(0, usage_event(len(tokens) - self.lost_tokens, accepted) + DONE)]


@dataclass
class Tally:
    """vLLM's counters, of what was streamed and of `foreign` tokens that nobody here asked for."""

    foreign: int = 0
    requests: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    steps: int = 0
    drafted: int = 0
    accepted: list[int] = field(default_factory=lambda: [0] * 7)

    def count(self, data: bytes) -> None:
        for line in data.split(b"\n\n"):
            if not line.startswith(b"data: {") or b'"usage": {' not in line:
                continue
            try:
                told = json.loads(line.removeprefix(b"data: "))
            except ValueError:
                continue
            self.requests += 1
            self.prompt_tokens += told["usage"]["prompt_tokens"]
            self.tokens += told["usage"]["completion_tokens"] + self.foreign
            spoken = (told.get("metrics") or {}).get("speculative_decoding") or {}
            for run in spoken.get("per_step_accepted", ()):
                self.steps += 1
                self.drafted += 7
                for place in range(run):
                    self.accepted[place] += 1

    def text(self) -> str:
        found = {
            "vllm:request_success_total": self.requests,
            "vllm:prompt_tokens_total": self.prompt_tokens,
            "vllm:generation_tokens_total": self.tokens,
            "vllm:spec_decode_num_drafts_total": self.steps,
            "vllm:spec_decode_num_draft_tokens_total": self.drafted,
            "vllm:spec_decode_num_accepted_tokens_total": sum(self.accepted),
        }
        lines = [f'{name}{{engine="0"}} {value}' for name, value in found.items()]
        name = "vllm:spec_decode_num_accepted_tokens_per_pos_total"
        lines += [f'{name}{{position="{i}"}} {value}' for i, value in enumerate(self.accepted)]
        return "\n".join(lines) + "\n"


Pace = Callable[[float], Awaitable[None]]


async def no_check() -> None:
    return


@dataclass
class FakeEngine:
    """`answers` maps the last user message to the text that is streamed."""

    script: Script
    answers: Mapping[str, str] = field(default_factory=dict)
    pace: Pace = asyncio.sleep
    taken: Callable[[], Awaitable[None]] = no_check
    """Awaited after each write."""
    refuse_with: int | None = None
    refuse_after: int = 0
    """How many requests it answers before it refuses."""
    model: str = MODEL
    requests: list[dict[str, Any]] = field(default_factory=list)
    tally: "Tally" = field(default_factory=lambda: Tally())
    rates: Callable[[Sequence[int]], Mapping[int, float]] = lambda _: {}
    """Log probability by token id after the given tokens."""
    respell: Callable[[str], str] = str
    """What /detokenize makes of a text."""
    questions: list[list[int]] = field(default_factory=list)
    """Contexts that it was asked to rate."""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split()[1]
        size = next(
            (int(x.split(":")[1]) for x in head.splitlines() if x.lower().startswith("content-le")),
            0,
        )
        body = json.loads(await reader.readexactly(size)) if size else {}
        if path == "/v1/models":
            return self._json(writer, 200, {"data": [{"id": self.model}]})
        if path == "/health":
            return self._json(writer, 200, {})
        if path == "/version":
            return self._json(writer, 200, {"version": "fake"})
        if path == "/metrics":
            return self._send(writer, 200, self.tally.text().encode(), "text/plain")
        if path == "/tokenize":
            text = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
            return self._json(writer, 200, {"tokens": [ord(letter) for letter in text]})
        if path == "/detokenize":
            text = self.respell("".join(map(chr, body["tokens"])))
            return self._json(writer, 200, {"prompt": text})
        if not body.get("stream") and body.get("logprobs") == 20:
            self.questions.append(body["prompt"])
            top = {f"token_id:{one}": value for one, value in self.rates(body["prompt"]).items()}
            rated = [{"index": 0, "text": "x", "logprobs": {"top_logprobs": [top]}}]
            return self._json(writer, 200, {"choices": rated})
        if not body.get("stream"):
            return self._json(writer, 200, START_UP)
        self.requests.append(body)
        if self.refuse_with is not None and len(self.requests) > self.refuse_after:
            return self._json(writer, self.refuse_with, {"error": {"message": "no"}})
        await self.pace(0)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        await self.taken()
        for frame in self._frames(path, body):
            self.tally.count(frame.data)
            await self.pace(frame.wait_s)
            writer.write(b"%x\r\n%b\r\n" % (len(frame.data), frame.data))
            await writer.drain()
            await self.taken()
        writer.write(b"0\r\n\r\n")
        return None

    def _frames(self, path: str, body: Mapping[str, Any]) -> list[Frame]:
        if path == "/v1/completions":
            told = body["prompt"]
            prompt = told if isinstance(told, str) else "".join(map(chr, told))
            return self.script(self.answers.get(prompt, "warm"))
        delta = {"role": "assistant", "content": self.answers[body["messages"][-1]["content"]]}
        said = event(
            {"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": "stop"}]}
        )
        return [Frame(0, said), Frame(0, usage_event(9, (5, 2)) + DONE)]

    def _json(self, writer: asyncio.StreamWriter, status: int, payload: Mapping[str, Any]) -> None:
        self._send(writer, status, json.dumps(payload).encode(), "application/json")

    def _send(self, writer: asyncio.StreamWriter, status: int, data: bytes, kind: str) -> None:
        writer.write(
            b"HTTP/1.1 %d X\r\nContent-Type: %b\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (status, kind.encode(), len(data), data)
        )


@asynccontextmanager
async def serving(engine: FakeEngine, port: int = 0) -> AsyncIterator[str]:
    server = await asyncio.start_server(engine.handle, "127.0.0.1", port)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


@contextmanager
def serving_in_thread(engine: FakeEngine) -> Iterator[str]:
    """For code that runs an event loop of its own."""
    ready, stop, urls = threading.Event(), asyncio.Event(), list[str]()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        async with serving(engine) as url:
            urls.append(url)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    try:
        if not ready.wait(timeout=10):
            raise TimeoutError("the fake engine did not start")
        yield urls[0]
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(timeout=10)


@dataclass
class FakeClock:
    """Virtual nanoseconds that only the engine moves."""

    now: int = 1_000_000_000
    looked: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self) -> int:
        self.looked.set()
        return self.now

    async def pace(self, seconds: float) -> None:
        self.now += round(seconds * 1e9)
        self.looked.clear()

    async def taken(self) -> None:
        """Returns once the client has stamped the write: then two writes are two reads."""
        await self.looked.wait()
        self.looked.clear()

    def engine(self, script: Script) -> FakeEngine:
        return FakeEngine(script, pace=self.pace, taken=self.taken)

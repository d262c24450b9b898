"""The Dockerfile's steps in a scratch root, and what each image then does: `make test-deploy`.

No Docker: scratch_root.py says what stands in for the base images. Needs root, Linux and minutes.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.deploy.dockerfile import ROOT
from tests.server.test_command import fake_child
from tests.server.test_supervision import free_port

BUILD_S = 1200
READY_S = 600
CHAT = {"model": "fake", "messages": [{"role": "user", "content": "hello"}]}


def command(target: str, *inside: str) -> list[str]:
    build = [sys.executable, "-m", "tests.deploy.slow.scratch_root", target]
    return ["/usr/bin/unshare", "--mount", *build, "--", *inside]


def built(target: str, *inside: str) -> str:
    done = subprocess.run(
        command(target, *inside), cwd=ROOT, capture_output=True, text=True, timeout=BUILD_S
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@contextmanager
def serving(target: str, *inside: str) -> Iterator[None]:
    """From its line about listening on. SIGTERM ends it, with the exit code 0."""
    process = subprocess.Popen(
        command(target, *inside),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said: list[str] = []
    late = threading.Timer(BUILD_S, process.kill)
    late.start()
    try:
        for line in process.stderr:
            said.append(line)
            if "listening on" in line:
                break
        else:
            pytest.fail("".join(said[-20:]))
        yield
        process.terminate()
        process.stderr.read()
        assert process.wait() == 0
    finally:
        late.cancel()
        process.kill()
        process.wait()
        process.stderr.close()


def until_ready(http: httpx.Client) -> None:
    deadline = time.monotonic() + READY_S
    while http.get("/health/ready").status_code != httpx.codes.OK:
        assert time.monotonic() < deadline
        time.sleep(0.5)


@pytest.mark.timeout(BUILD_S)
def test_the_gateways_image_serves_an_engine_elsewhere() -> None:
    port, engine = free_port(), free_port()
    options = ["--engine-url", f"http://127.0.0.1:{engine}", "--port", str(port)]
    with fake_child(engine), serving("gateway", "server", *options):
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as http:
            assert http.get("/health/live").status_code == 200
            until_ready(http)
            assert http.post("/v1/chat/completions", json=CHAT).status_code == 200


@pytest.mark.timeout(BUILD_S)
def test_the_gateways_image_refuses_to_serve_whoever_comes() -> None:
    done = subprocess.run(
        command("gateway", "server", "--host", "::"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    assert done.returncode == 2
    assert "there are no keys" in done.stderr.splitlines()[-1]


@pytest.mark.timeout(BUILD_S)
@pytest.mark.parametrize("target", ["engine-nxdi", "engine-vllm-neuron"])
def test_an_engines_image_keeps_its_packages_and_has_ours(target: str) -> None:
    said = built(target, "neuron", "render", "local", "--as", "helm")
    assert "packages are as they were" in said
    assert "engines:" in said


@pytest.mark.timeout(BUILD_S)
def test_the_cpus_image_speaks_with_its_own_pair() -> None:
    port = free_port()
    with serving("cpu", "server", "--port", str(port)):
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, timeout=120, trust_env=False) as http:
            until_ready(http)
            asked = {"model": "local", "prompt": "1, 2, 3,", "max_tokens": 16, "temperature": 0}
            answer = http.post("/v1/completions", json=asked).json()
    assert answer["usage"]["completion_tokens"] == 16
    assert answer["usage"]["completion_tokens_details"]["accepted_prediction_tokens"] > 0

"""A real Prometheus on loopback, from Debian's package."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import yaml

from tests.server.test_supervision import free_port
from tests.server.waiting import WAIT_S, until_async

PATIENCE_S = 30.0
"""Some scrapes, of 5 s each."""


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is not there: apt-get install prometheus brings it")
    return found


@dataclass(frozen=True)
class Prometheus:
    url: str

    async def get(self, path: str, **asked: str | float) -> Any:  # noqa: ANN401 - as JSON has it
        async with httpx.AsyncClient(trust_env=False, timeout=WAIT_S) as http:
            answer = (await http.get(f"{self.url}/api/v1/{path}", params=asked)).json()
            assert answer["status"] == "success", answer
            return answer["data"]

    async def query(self, expr: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get("query", query=expr))["result"]
        return found

    async def answers(self, expr: str) -> bool:
        """Whether anything comes; a scrape that was missed hides a series until the next."""
        with anyio.move_on_after(PATIENCE_S):
            while not await self.query(expr):  # noqa: ASYNC110 - no event crosses a process border
                await anyio.sleep(1)
            return True
        return False

    async def until_scraped(self, jobs: int) -> None:
        async def all_up() -> bool:
            try:
                return len(await self.query("up == 1")) == jobs
            except httpx.TransportError:
                return False

        await until_async(all_up)


@contextmanager
def prometheus(folder: Path, targets: Mapping[str, str], rules: str) -> Iterator[Prometheus]:
    """`targets` are jobs with the host and port of each."""
    (folder / "rules.yml").write_text(rules)
    config = {
        "global": {"scrape_interval": "5s", "evaluation_interval": "5s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [target]}]}
            for job, target in targets.items()
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    process = subprocess.Popen(
        [
            tool("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ]
    )
    try:
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait()

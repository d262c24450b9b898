"""Rules under promtool, and every query and alert under a Prometheus that scrapes what runs.

`make test-deploy`: needs Debian's package `prometheus`, and two real engines at once.
PICTURES=FOLDER keeps the dashboards as they are drawn.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import yaml

from deploy.monitoring.alerts import alerts
from deploy.monitoring.dashboards import DASHBOARDS
from deploy.monitoring.files import FOLDER, rule_groups
from deploy.monitoring.objectives import Objectives
from deploy.monitoring.rules import to_yaml
from deploy.monitoring.site import site
from neuron.local.corpus import held_out
from neuron.pair import load_pair
from tests.deploy.chart import given, of_kind
from tests.deploy.expressions import dashboard_queries, selectors
from tests.deploy.slow.drawing import draw
from tests.deploy.slow.fake_neuron_monitor import fake_neuron_monitor
from tests.deploy.slow.prometheus import Prometheus, prometheus, tool
from tests.deploy.test_rules import DEPLOYED, said
from tests.engine.conftest import Engine, pair, spec_engine
from tests.server.key_examples import bearer, entry
from tests.server.test_command import Served, server
from tests.server.test_supervision import free_port
from tests.server.test_two_gateways import FakeProcess, fake_engine_process
from tests.server.waiting import WAIT_S, until_async

__all__ = ["pair", "spec_engine"]

RULES = FOLDER / "prometheus"
START_S = 300.0
ROUNDS = 3
TASKS = ("json_record", "sql", "count_repeat", "prose")


def test_promtool_finds_no_fault_in_the_rules() -> None:
    subprocess.run([tool("promtool"), "check", "rules", RULES / "rules.yml"], check=True)
    subprocess.run([tool("promtool"), "check", "config", RULES / "prometheus.yml"], check=True)


def test_promtool_finds_no_fault_in_what_the_chart_applies(tmp_path: Path) -> None:
    """The `spec` of a PrometheusRule is a rule file."""
    values = given("qwen2.5-72b-tp32", **said(*DEPLOYED, "--as", "helm"))
    (rule,) = of_kind(values, "PrometheusRule").values()
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump(rule["spec"]))
    subprocess.run([tool("promtool"), "check", "rules", file], check=True)


@pytest.mark.parametrize("path", sorted((RULES / "tests").iterdir()), ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(path: Path) -> None:
    subprocess.run([tool("promtool"), "test", "rules", path], check=True)


@dataclass(frozen=True)
class Watched:
    gateway: Served
    spare: FakeProcess
    prometheus: Prometheus
    begun: float


@asynccontextmanager
async def watched(folder: Path, engine: Engine) -> AsyncIterator[Watched]:
    """A gateway, an engine at a URL that speculates, a plain one of its own, and a fake to kill."""
    port = free_port()
    end = datetime.now(UTC) + timedelta(days=2)
    constants = site(load_pair("qwen3-32b-tp4"), price=None, block_end=end)
    with (
        fake_engine_process() as spare,
        fake_neuron_monitor() as monitor,
    ):
        file = folder / "gateway.toml"
        file.write_text(configuration(folder, engine.base_url, spare.url, port))
        with (
            server("--config", str(file)) as gateway,
            prometheus(
                folder,
                {
                    "specserve-gateway": f"127.0.0.1:{port}",
                    "specserve-engine": engine.base_url.removeprefix("http://"),
                    "neuron-monitor": monitor,
                },
                to_yaml(rule_groups(Objectives(), constants)),
            ) as server_of_metrics,
        ):
            await until_ready(gateway.url)
            await server_of_metrics.until_scraped(3)
            yield Watched(gateway, spare, server_of_metrics, time.time())
            gateway.process.send_signal(signal.SIGTERM)


def configuration(folder: Path, engine: str, spare: str, port: int) -> str:
    keys = (entry("user"), entry("once", requests_per_minute=1))
    (folder / "keys.toml").write_text(
        "".join(
            "[[keys]]\n"
            + "".join(
                f"{name} = {value!r}\n"
                for name, value in key.model_dump(exclude_defaults=True).items()
            )
            for key in keys
        )
    )
    return (
        f'log_dir = "{folder}"\nrequest_log = "off"\nkeys_file = "{folder / "keys.toml"}"\n'
        f"metrics_port = {port}\n[ejection]\nerrors = 1\n"
        f'[[replicas]]\nname = "spec"\npool = "speculative"\nurl = "{engine}"\nstack = "cpu"\n'
        '[[replicas]]\nname = "plain"\npool = "plain"\npair = "local"\n'
        f'[[replicas]]\nname = "spare"\npool = "plain"\nurl = "{spare}"\nstack = "cpu"\n'
    )


async def until_ready(url: str) -> None:
    async def all_ready() -> bool:
        pools = (await http.get("/health/ready")).json()["pools"]
        return bool(pools["speculative"]["ready"] == 1 and pools["plain"]["ready"] == 2)

    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=WAIT_S) as http:
        with anyio.fail_after(START_S):
            while not await all_ready():  # noqa: ASYNC110 - no event crosses a process border
                await anyio.sleep(0.5)


async def faults(http: httpx.AsyncClient, run: Watched) -> None:
    """One of each kind that has a series only from its first time on."""
    async with anyio.create_task_group() as tasks:
        for place in range(4):
            # Another first message each: what begins alike goes to the same replica.
            said = [{"role": "user", "content": f"{place}, then what?"}]
            tasks.start_soon(ask, http, {"messages": said, "speculation": "off", "max_tokens": 8})
        await until_async(lambda: some_wait(run.spare))
        run.spare.process.kill()
    await ask(http, {"model": "nobody"})
    for _ in range(2):
        await ask(http, {"max_tokens": 4}, key="once")
    await ask(http, {"max_tokens": 200}, {"x-specserve-timeout-ms": "50"})
    async with http.stream("POST", "/v1/chat/completions", json=body({})) as left:
        await anext(left.aiter_bytes())
    run.gateway.process.send_signal(signal.SIGHUP)


async def some_wait(spare: FakeProcess) -> bool:
    return await spare.waiting() > 0


def body(changes: dict[str, Any]) -> dict[str, Any]:
    said = [{"role": "user", "content": "Count from 1 to 20."}]
    return {"model": "local", "messages": said, "stream": True, "max_tokens": 64, **changes}


async def ask(
    http: httpx.AsyncClient,
    changes: dict[str, Any],
    headers: dict[str, str] | None = None,
    key: str = "user",
) -> None:
    await http.post(
        "/v1/chat/completions", json=body(changes), headers={**bearer(key), **(headers or {})}
    )


async def traffic(http: httpx.AsyncClient) -> None:
    examples = [one for task in TASKS for one in held_out(task, ROUNDS)]
    for place, example in enumerate(examples):
        schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": example.schema}}
        asked = {
            "messages": list(example.messages),
            "speculation": ("auto", "on", "off")[place % 3],
            **({"response_format": schema} if example.schema else {}),
        }
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(ask, http, asked)


def picture_folder(otherwise: Path) -> Path:
    folder = Path(os.environ.get("PICTURES", str(otherwise)))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.anyio
async def test_no_query_and_no_alert_asks_for_what_is_not_there(
    tmp_path: Path, spec_engine: Engine
) -> None:
    pictures = picture_folder(tmp_path)
    async with watched(tmp_path, spec_engine) as run:
        async with httpx.AsyncClient(
            base_url=run.gateway.url, trust_env=False, timeout=WAIT_S, headers=bearer("user")
        ) as http:
            await faults(http, run)
            await traffic(http)
        await until_recorded(run.prometheus)
        empty = [
            one.where for one in dashboard_queries() if not await run.prometheus.answers(one.expr)
        ]
        assert empty == []
        assert await unhealthy(run.prometheus) == []
        asked = {found.name for one in alerts(Objectives()) for found in selectors(one.expr)}
        assert {name for name in asked if not await run.prometheus.answers(name)} == set()
        for dashboard in DASHBOARDS:
            path = pictures / f"{dashboard.slug}.png"
            await draw(run.prometheus, dashboard, run.begun, time.time(), path)
            assert path.stat().st_size > 0


async def until_recorded(server_of_metrics: Prometheus) -> None:
    """The last request was scraped, and the rules had their turn after it."""

    async def known() -> bool:
        return bool(await server_of_metrics.query("specserve:speedup:ratio > 0"))

    await until_async(known)


async def unhealthy(server_of_metrics: Prometheus) -> list[str]:
    groups = (await server_of_metrics.get("rules"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > len(alerts(Objectives()))
    return [f"{one['name']}: {one.get('lastError')}" for one in rules if one["health"] != "ok"]

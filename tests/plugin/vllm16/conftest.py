from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.plugin.models import TARGET, Plain
from tests.plugin.vllm16.engine import Engine, running

# Before vLLM is imported anywhere: its own platforms do not load here.
os.environ["SPECSERVE_PLUGIN"] = "torch"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["VLLM_NO_USAGE_STATS"] = "1"


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with running(tmp_path_factory.mktemp("engine")) as started:
        yield started


@pytest.fixture(scope="session")
def plain() -> Plain:
    return Plain(TARGET)

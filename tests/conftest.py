from __future__ import annotations

import pytest
from hypothesis import settings

# A loaded machine is no counterexample.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"

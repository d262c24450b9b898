from __future__ import annotations

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from neuron.local.build import WEIGHTS


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    loaded: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(WEIGHTS / "target")
    return loaded

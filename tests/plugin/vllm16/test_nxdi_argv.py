"""vLLM 0.16's own parser takes what the nxdi stack renders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from vllm.entrypoints.openai.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.utils.argparse_utils import FlexibleArgumentParser

from neuron.launch import Endpoint, render
from neuron.pair import Pair, load_pair, shipped_pairs
from tests.neuron.conftest import AVX2_ONLY

SHIPPED = [name for name in shipped_pairs() if load_pair(name).stack == "nxdi"]
AWS: dict[str, object] = {"plugin": "vllm-neuron", "tool_call_parser": None}


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize(
    ("fields", "plain"), [({}, False), ({}, True), (AWS, False)], ids=["ours", "plain", "aws"]
)
def test_vllm_parses_the_command(name: str, fields: dict[str, object], plain: bool) -> None:
    pair = Pair.model_validate({**load_pair(name).model_dump(), **fields})
    endpoint = Endpoint(port=8080)
    command = render(pair, endpoint, plain=plain, machine=AVX2_ONLY, find=Path, elsewhere=True)
    _, *entry = command.argv
    assert entry[:2] == ["-m", "vllm.entrypoints.openai.api_server"]
    parsed = make_arg_parser(FlexibleArgumentParser()).parse_args(entry[2:])
    validate_parsed_serve_args(parsed)
    assert parsed.model == pair.target
    assert (parsed.max_num_seqs, parsed.max_model_len) == (pair.max_num_seqs, pair.max_model_len)
    assert (parsed.speculative_config is None) == plain
    assert json.dumps(parsed.additional_config)

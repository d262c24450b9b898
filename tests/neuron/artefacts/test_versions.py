from __future__ import annotations

import pytest

from neuron.artefacts.errors import UnknownVersionError
from neuron.artefacts.versions import COMPILERS, SDK, packages_of, versions_of
from neuron.pair import Pair, load_pair

PAIR = load_pair("qwen3-32b-tp32")


def nothing(name: str) -> str | None:
    return "0.1.0" if name == "specserve" else None


def everything(name: str) -> str | None:
    return f"9.{len(name)}"


def test_what_is_installed_is_what_counts() -> None:
    found = versions_of(PAIR, plain=False, look=everything)
    assert found.measured
    assert found.packages["neuronx-cc"] == "9.10"
    assert set(found.packages) == {*COMPILERS, "specserve"}


def test_on_a_laptop_the_stack_states_them_and_that_is_said() -> None:
    found = versions_of(PAIR, plain=False, look=nothing)
    assert not found.measured
    assert "not read on this machine" in found.source
    assert found.packages == {
        "specserve": "0.1.0",
        **{name: SDK["2.31.1"][name] for name in COMPILERS},
    }


def test_aws_plugin_counts_where_it_compiles() -> None:
    assert "vllm-neuron" in packages_of(PAIR, plain=True)
    found = versions_of(PAIR, plain=True, look=nothing)
    assert found.packages["vllm-neuron"] == "0.5.3"
    assert "specserve" not in found.packages


def test_what_is_given_wins_over_what_the_stack_states() -> None:
    found = versions_of(PAIR, plain=False, given=["2.31.1", "nki=0.6"], look=nothing)
    assert found.packages["nki"] == "0.6"
    assert found.source == "--neuron-version 2.31.1 nki=0.6"


@pytest.mark.parametrize(
    ("given", "installed", "said"),
    [
        (["9.99"], nothing, r"9\.99 is no SDK release.*2\.31\.1"),
        (["nki="], nothing, "is no SDK release"),
        (["neuronx-cc=2.1"], nothing, "versions of torch-neuronx.*are not known"),
        ([], lambda name: "1" if name == "nki" else None, "versions of neuronx-cc.*not known"),
        (["nki=2"], everything, "says nki 2, but 9.3 is installed"),
    ],
)
def test_nothing_is_guessed(given: list[str], installed: object, said: str) -> None:
    with pytest.raises(UnknownVersionError, match=said):
        versions_of(PAIR, plain=False, given=given, look=installed)  # type: ignore[arg-type]


def test_a_stack_that_states_nothing_needs_them_given() -> None:
    pair = Pair.model_validate({**PAIR.model_dump(), "stack": "legacy"})
    with pytest.raises(UnknownVersionError, match="neuronx-cc"):
        versions_of(pair, plain=True, look=nothing)

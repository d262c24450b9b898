"""Step costs of random weights. Ground truth: a clock that the test moves."""

import json
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from bench.cli import run
from bench.step_costs import LABEL, WARM, measure_steps, parameters
from neuron.catalogue import Geometry

PASSES = 4


def shape(folder: Path, layers: int = 2) -> str:
    path = folder / f"shape-{layers}"
    path.mkdir()
    fields = {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 32,
        "intermediate_size": 64, "num_hidden_layers": layers, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 128, "max_position_embeddings": 128,
        "torch_dtype": "float32", "tie_word_embeddings": False,
    }  # fmt: skip
    (path / "config.json").write_text(json.dumps(fields))
    return str(path)


def ticking(taken: Callable[[int], int]) -> Callable[[], int]:
    """The n-th pass takes `taken(n)` ms."""

    def times() -> Iterator[int]:
        for number in count():
            yield 0
            yield taken(number) * 10**6

    ticks = times()
    return lambda: next(ticks)


def test_every_number_of_rows_is_timed_and_the_warm_up_is_not(tmp_path: Path) -> None:
    target, draft = shape(tmp_path, 2), shape(tmp_path, 1)
    each = WARM + PASSES
    found = measure_steps(
        target, draft, k=2, context=5, dtype="float32", passes=PASSES,
        # 10, 20 and 30 ms by rows, then the draft's 4; a warm-up pass takes a second.
        clock=ticking(lambda n: 1000 if n % each < WARM else (10, 20, 30, 4)[n // each]),
    )  # fmt: skip
    assert [(one.rows, one.median_ms) for one in found.target_rows] == [(1, 10), (2, 20), (3, 30)]
    assert found.draft_pass is not None
    assert (found.base_ms, found.draft_pass.median_ms) == (10, 4)
    assert [found.step_ms(k) for k in (1, 2)] == [24, 38]


def test_the_command_says_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--target", shape(tmp_path), "-k", "1", "--context", "4", "--passes", "4"]
    assert run(["steps", *options]) == 0
    out = capsys.readouterr().out
    assert LABEL in out
    assert " 1 rows " in out
    assert " 2 rows " in out
    assert run(["steps", *options, "--draft", options[1], "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["label"], len(told["target_rows"])) == ("steps", LABEL, 2)


def test_a_shape_that_does_not_fit_is_refused_before_it_is_made(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["steps", "--target", "qwen2.5-72b"]) == 2
    assert "choose smaller shapes" in capsys.readouterr().err
    assert run(["steps", "--target", "nobody-7b"]) == 3


def test_the_count_of_parameters_is_the_models(tmp_path: Path) -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    path = Path(shape(tmp_path)) / "config.json"
    model = Qwen2ForCausalLM(Qwen2Config.from_pretrained(path.parent))
    counted = sum(one.numel() for one in model.parameters())
    # Norms and biases are left out.
    assert parameters(Geometry.of_config(path)) == pytest.approx(counted, rel=0.05)

"""A fake of NxDI, not NxDI: it records every call, checks its shapes and dtypes, and follows the
contract of NXDI 4bcdc54 as read. Its "models" are rules on token ids; its caches hold the ids
themselves, so that a cell written over or never written changes what comes next.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import torch

from neuron.plugin.nxdi_api import Nxdi
from tests.plugin.stand_in import digests, fresh

KEYS = json.loads(
    (Path(__file__).parents[2] / "neuron/check/nxdi_config_keys.json").read_text(encoding="utf-8")
)
VOCAB = 97
PADDED_VOCAB = 104
"""NxDI pads the head to a multiple of its shards and gathers the padding with the rest."""


NESTED = {
    "on_device_sampling_config": "OnDeviceSamplingConfig",
    "fused_spec_config": "FusedSpecNeuronConfig",
    "draft_config": "InferenceConfig",
    "neuron_config": "NeuronConfig",
}


def unknown_keys(value: object, name: str) -> list[str]:
    """Keys under `name` that NxDI's class of that name does not take, classes inside included."""
    if not isinstance(value, dict):
        return []
    known = {*KEYS[name]["kwargs"], *KEYS[name]["init_args"]}
    found = [f"{name}.{key}" for key in value if key not in known]
    for key, inner in value.items():
        found += unknown_keys(inner, NESTED.get(key, name))
    return found


def write_model(folder: Path, *, kind: str = "qwen2", vocab: int = VOCAB) -> str:
    folder.mkdir(exist_ok=True)
    config = {"model_type": kind, "vocab_size": vocab}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return str(folder)


def target_rule(prefix: Sequence[int]) -> int:
    return (sum((i + 1) * (token + 1) for i, token in enumerate(prefix)) * 31 + 7) % VOCAB


def draft_rule(prefix: Sequence[int]) -> int:
    """Right two times in three."""
    token = target_rule(prefix)
    return token if token % 3 else (token + 1) % VOCAB


def greedy(prompt: Sequence[int], count: int) -> list[int]:
    """What the target alone would say."""
    tokens = list(prompt)
    for _ in range(count):
        tokens.append(target_rule(tokens))
    return tokens[len(prompt) :]


class FakeKeys:
    """Refuses keys that NxDI's class of that name would ignore."""

    name: ClassVar[str]

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401
        unknown = set(kwargs) - set(KEYS[self.name]["kwargs"])
        assert not unknown, f"NxDI's {self.name} does not know {unknown}"
        self.given = kwargs
        vars(self).update(kwargs)


class FakeNeuronConfig(FakeKeys):
    name = "NeuronConfig"
    batch_size: int
    speculation_length: int
    enable_fused_speculation: bool
    output_logits: bool
    context_encoding_buckets: list[int]
    token_generation_buckets: list[int]


class FakeSamplingConfig(FakeKeys):
    name = "OnDeviceSamplingConfig"


class FakeInferenceConfig:
    def __init__(self, neuron_config: FakeNeuronConfig, load_config: Callable[[Any], None]) -> None:
        self.neuron_config = neuron_config
        self.fused_spec_config: Any = None
        load_config(self)


class FakeFusedSpecConfig:
    def __init__(
        self,
        worker_cls: type,
        draft_config: FakeInferenceConfig,
        draft_model_path: str,
        draft_model_cls: type,
    ) -> None:
        self.worker_cls = worker_cls
        self.draft_config = draft_config
        self.draft_model_path = draft_model_path
        self.draft_model_cls = draft_model_cls


def fake_load_pretrained_config(model_path_or_name: str) -> Callable[[Any], None]:
    config = json.loads((Path(model_path_or_name) / "config.json").read_text(encoding="utf-8"))
    return lambda inference_config: vars(inference_config).update(config)


@dataclass
class Recorded:
    compiled: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    configs: list[FakeInferenceConfig] = field(default_factory=list)
    prefills: list[dict[str, Any]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    spoil: Callable[[list[Any]], list[Any]] | None = None
    """Changes the outputs of every call, for what must be noticed."""

    @contextmanager
    def spoiled(self, change: Callable[[list[Any]], list[Any]]) -> Iterator[None]:
        self.spoil = change
        try:
            yield
        finally:
            self.spoil = None


def application_class(recorded: Recorded) -> Any:  # noqa: ANN401 - as untyped as NxDI's
    class FakeForCausalLM:
        _model_cls = SimpleNamespace

        def __init__(self, model_path: str, config: FakeInferenceConfig) -> None:
            self.keys = config.neuron_config
            recorded.configs.append(config)
            assert Path(model_path).is_dir()
            self.caches: list[dict[int, int]] = [{} for _ in range(self.keys.batch_size)]
            self.k = self.keys.speculation_length

        @classmethod
        def get_config_cls(cls) -> type:
            return FakeInferenceConfig

        @classmethod
        def get_neuron_config_cls(cls) -> type:
            return FakeNeuronConfig

        def compile(self, compiled_model_path: str) -> None:
            recorded.compiled.append(compiled_model_path)
            (Path(compiled_model_path) / "model.pt").touch()

        def load(self, compiled_model_path: str) -> None:
            assert (Path(compiled_model_path) / "model.pt").is_file()
            recorded.loaded.append(compiled_model_path)

        def __call__(
            self,
            *,
            input_ids: torch.Tensor,
            seq_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            position_ids: torch.Tensor,
            sampling_params: torch.Tensor,
        ) -> SimpleNamespace:
            whole = (input_ids, seq_ids, attention_mask, position_ids)
            assert all(tensor.dtype == torch.int32 for tensor in whole)
            assert input_ids.shape == position_ids.shape
            assert sampling_params.dtype == torch.float32
            assert sampling_params.shape == (len(input_ids), 3)
            call = {
                "input_ids": input_ids,
                "seq_ids": seq_ids,
                "attention_mask": attention_mask,
                "position_ids": position_ids,
            }
            # As NeuronBaseForCausalLM._is_prefill decides.
            if int(position_ids.min()) == 0:
                recorded.prefills.append(call)
                outputs = self.prefill(**call)
            else:
                recorded.steps.append(call)
                outputs = self.step(**call)
            return SimpleNamespace(
                fused_outputs=recorded.spoil(outputs) if recorded.spoil else outputs
            )

        def prefill(
            self,
            input_ids: torch.Tensor,
            seq_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            position_ids: torch.Tensor,
        ) -> list[Any]:
            assert seq_ids.shape == (1,)
            assert attention_mask.shape == input_ids.shape
            columns = bucket(self.keys.context_encoding_buckets, input_ids.shape[1], 0)
            padding = columns - input_ids.shape[1]
            tokens = [*input_ids[0].tolist(), *[0] * padding]
            positions = [*position_ids[0].tolist(), *[1] * padding]
            cache = self.caches[int(seq_ids)]
            cache.update(enumerate(tokens))
            # NxDI reads the hidden state where the position is largest.
            last = positions.index(max(positions))
            token = target_rule(tokens[: last + 1])
            length = int(attention_mask.sum())
            accepted = torch.tensor([[token, *[-1] * (self.k - 1)]], dtype=torch.int32)
            outputs = [accepted, accepted[:, :1], attention_mask, torch.tensor([[length]])]
            if self.keys.output_logits:
                outputs += [one_hot([0]).unsqueeze(0), one_hot([token]).unsqueeze(0)]
            return outputs

        def step(
            self,
            input_ids: torch.Tensor,
            seq_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            position_ids: torch.Tensor,
        ) -> list[Any]:
            batch = self.keys.batch_size
            assert seq_ids.tolist() == list(range(batch)), "a whole batch, slots ascending"
            assert input_ids.shape == (batch, 1)
            width = attention_mask.shape[1]
            columns = bucket(self.keys.token_generation_buckets, width, self.k)
            assert torch.equal(attention_mask, (torch.arange(width) < position_ids).int())
            assert int(position_ids.max()) + self.k <= columns, "a column outside the mask"
            rows = [
                self.row(cache, token, position)
                for cache, token, position in zip(
                    self.caches,
                    input_ids.flatten().tolist(),
                    position_ids.flatten().tolist(),
                    strict=True,
                )
            ]
            accepted = torch.tensor([row[0] for row in rows], dtype=torch.int32)
            counts = (accepted >= 0).sum(dim=1, keepdim=True)
            outputs = [
                accepted,
                accepted.gather(1, counts - 1),
                torch.zeros(batch, columns, dtype=torch.int32),
                (position_ids + counts).to(torch.int32),
            ]
            if self.keys.output_logits:
                outputs.append(torch.tensor([row[1] for row in rows], dtype=torch.int32))
                outputs.append(torch.stack([one_hot(row[2]) for row in rows]))
            return outputs

        def row(
            self, cache: dict[int, int], token: int, position: int
        ) -> tuple[list[int], list[int], list[int]]:
            prefix = [cache.get(i, 0) for i in range(position)]
            drafts = [token]
            for _ in range(self.k):
                drafts.append(draft_rule([*prefix, *drafts]))
            verified = [target_rule([*prefix, *drafts[: i + 1]]) for i in range(self.k)]
            for i in range(self.k):
                cache[position + i] = drafts[i]
            right = 0
            while right < self.k - 1 and drafts[right + 1] == verified[right]:
                right += 1
            emitted = verified[: right + 1]
            return [*emitted, *[-1] * (self.k - len(emitted))], drafts[1:], verified

    return FakeForCausalLM


def bucket(buckets: Sequence[int], columns: int, k: int) -> int:
    """As ModelWrapper._get_seq_bucket picks it: strictly larger, or exactly the largest."""
    needed = columns + k
    fitting = [size for size in buckets if needed < size or (needed == size == buckets[-1])]
    assert fitting, f"{columns} columns and {k} rows fit no graph of {buckets}"
    return fitting[0]


def one_hot(tokens: Sequence[int]) -> torch.Tensor:
    """[rows, padded vocab] float32."""
    logits = torch.full((len(tokens), PADDED_VOCAB), -5.0)
    logits[torch.arange(len(tokens)), list(tokens)] = 5.0
    return logits


def fake_nxdi(recorded: Recorded) -> Nxdi:
    application = application_class(recorded)
    return Nxdi(
        version="fake",
        applications={"qwen2": application, "qwen3": application},
        sampling_config=FakeSamplingConfig,
        fused_config=FakeFusedSpecConfig,
        load_pretrained_config=fake_load_pretrained_config,
        fused_model=fresh(),
        known_sources=digests(),
    )

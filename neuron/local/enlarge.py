"""Makes the bundled target cost more per step without changing what it says.

Two means, both exact:

- identity layers: a whole decoder layer of random weights whose `o_proj` and `down_proj` are zero.
  What it adds to the residual stream is a sum of products with zero, and x + 0 is x in floating
  point, so every later value is the same to the bit.
- wider MLPs: extra gate and up rows are random, the matching columns of `down_proj` zero. The
  product is the same sum with zeros added; a GEMM may group that longer sum differently, so logits
  can differ by rounding in the last places.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

Array = npt.NDArray[np.float32]
_SCALE = 0.02
_CARRIED = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
)


@dataclass(frozen=True)
class Enlargement:
    """`identity_layers` come behind the real ones; `mlp_width` replaces the MLP's own width."""

    identity_layers: int
    mlp_width: int
    seed: int = 0


def _prefix(layer: int) -> str:
    return f"model.layers.{layer}."


def _random(rng: np.random.Generator, *shape: int) -> Array:
    return (rng.standard_normal(shape, dtype=np.float32) * np.float32(_SCALE)).astype(np.float32)


def _widen(tensors: dict[str, Array], layer: int, width: int, rng: np.random.Generator) -> None:
    name = _prefix(layer) + "mlp."
    extra = width - tensors[name + "gate_proj.weight"].shape[0]
    hidden = tensors[name + "gate_proj.weight"].shape[1]
    for part in ("gate_proj.weight", "up_proj.weight"):
        tensors[name + part] = np.concatenate([tensors[name + part], _random(rng, extra, hidden)])
    down = tensors[name + "down_proj.weight"]
    zeros = np.zeros((hidden, extra), np.float32)
    tensors[name + "down_proj.weight"] = np.ascontiguousarray(np.concatenate([down, zeros], 1))


def _identity(tensors: dict[str, Array], layer: int, rng: np.random.Generator) -> None:
    model = {k.removeprefix(_prefix(0)): v for k, v in tensors.items() if k.startswith(_prefix(0))}
    for name, value in model.items():
        if name in ("self_attn.o_proj.weight", "mlp.down_proj.weight"):
            new = np.zeros_like(value)
        elif value.ndim == 1:
            new = np.ones_like(value) if "norm" in name else np.zeros_like(value)
        else:
            new = _random(rng, *value.shape)
        tensors[_prefix(layer) + name] = new


def enlarge(source: Path, out: Path, size: Enlargement) -> None:
    """Writes the enlarged copy of the model directory `source` to the new directory `out`.

    Raises ValueError where `size` would make a layer narrower than it is.
    """
    config = json.loads((source / "config.json").read_text())
    if size.mlp_width < config["intermediate_size"] or size.identity_layers < 0:
        raise ValueError(
            f"mlp_width {size.mlp_width} is below the model's own {config['intermediate_size']}, "
            "or identity_layers is negative: enlarging only adds"
        )
    rng = np.random.default_rng(size.seed)
    tensors: dict[str, Array] = load_file(source / "model.safetensors")
    layers = config["num_hidden_layers"]
    if size.mlp_width > config["intermediate_size"]:
        for layer in range(layers):
            _widen(tensors, layer, size.mlp_width, rng)
    for layer in range(layers, layers + size.identity_layers):
        _identity(tensors, layer, rng)
    config["intermediate_size"] = size.mlp_width
    config["num_hidden_layers"] = layers + size.identity_layers
    if "layer_types" in config:
        config["layer_types"] = config["layer_types"][:1] * config["num_hidden_layers"]
    out.mkdir(parents=True)
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    (out / "config.json").write_text(json.dumps(config, indent=2))
    for name in _CARRIED:
        if (source / name).exists():
            shutil.copyfile(source / name, out / name)

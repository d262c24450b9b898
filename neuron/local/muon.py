"""Muon in float32, for the hidden matrices of the pair.

Method: K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
`torch.optim.Muon` does the same in bfloat16, which this project's CPUs (AVX2) have no units for:
one of its steps takes several seconds where this one takes a tenth of one.
"""

from collections.abc import Iterable

import torch

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 4
_EPSILON = 1e-7


def orthogonalise(matrix: torch.Tensor) -> torch.Tensor:
    """Roughly the nearest semi-orthogonal matrix: singular values end near 1."""
    a, b, c = _COEFFICIENTS
    wide = matrix.size(0) > matrix.size(1)
    x = (matrix.T if wide else matrix) / (matrix.norm() + _EPSILON)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if wide else x


class Muon:
    """Momentum, then an orthogonalised update; `lr` is in units of the spectral norm of a step."""

    def __init__(self, parameters: Iterable[torch.Tensor], momentum: float = 0.95) -> None:
        self.parameters = list(parameters)
        self.momentum = momentum
        self.buffers = [torch.zeros_like(p) for p in self.parameters]

    def step(self, lr: float) -> None:
        with torch.no_grad():
            for parameter, buffer in zip(self.parameters, self.buffers, strict=True):
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, buffer, lr)
                    parameter.grad = None

    def _update(
        self, parameter: torch.Tensor, gradient: torch.Tensor, buffer: torch.Tensor, lr: float
    ) -> None:
        buffer.lerp_(gradient, 1 - self.momentum)
        update = orthogonalise(gradient.lerp(buffer, self.momentum))
        scale = max(1.0, parameter.size(0) / parameter.size(1)) ** 0.5
        parameter.add_(update, alpha=-lr * scale)

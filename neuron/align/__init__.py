"""`neuron align`: a draft with the target's vocabulary size, as vLLM asks for it."""

from neuron.align.alignment import NOTE, Alignment, align

__all__ = ["NOTE", "Alignment", "align"]

"""What a fused graph returns when it returns logits: two faults, and how each is repaired.

**Prefill.** NxDI tells the tracer which outputs are caches by counting: with logits the first
cache is output 6 (models/model_wrapper.py:1582). A step returns its outputs in that order.
Prefill repeats each model's logits in front of its caches (models/model_base.py:1802), so every
draft cache would be aliased to its neighbour and every target cache to the one after that.
Without logits the order is right, which is why the published recipes do not meet it.

**Candidates.** A step returns the draft's logits but not the tokens that the draft chose from
them. To the host an argmax over them is not the same thing: where two logits are equal, which
bf16 makes common, the graph's choice cannot be told from outside, and the target verified the
graph's. So the graph returns the candidates themselves, [B, k] int32, where the draft's logits
were, which also spares their gathering and k × V × 4 bytes per sequence and step.

Read: NXDI 4bcdc54. Both orders were checked on a CPU with the real classes, see docs/nxdi.md.
"""

from __future__ import annotations

import ast

from neuron.plugin.mask import FUNCTION as STEP
from neuron.plugin.nxdi_source import Edit

PREFILL = "_context_encoding_forward"
PREFILL_DIGEST = "c9e9cb22aa8649282786d22f8374f6daf8be46afdec49a0ab2693f8802b23464"


class _WithoutRepeats(ast.NodeTransformer):
    """Inside `if ….output_logits:`, the rest of a model's outputs starts behind its logits."""

    places = 0
    inside = False

    def visit_If(self, node: ast.If) -> ast.AST:
        match node.test:
            case ast.Attribute(attr="output_logits"):
                self.inside = True
                node.body = [self.visit(statement) for statement in node.body]
                self.inside = False
                return node
        return self.generic_visit(node)

    def visit_Slice(self, node: ast.Slice) -> ast.AST:
        match node:
            case ast.Slice(lower=ast.Constant(value=1) as lower, upper=None, step=None) if (
                self.inside
            ):
                self.places += 1
                lower.value = 2
        return node


def _without_repeats(function: ast.FunctionDef) -> int:
    change = _WithoutRepeats()
    change.visit(function)
    return change.places


class _CandidatesForLogits(ast.NodeTransformer):
    places = 0

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        match node:
            case ast.Assign(
                targets=[ast.Name(id="draft_logits")],
                value=ast.Call(func=ast.Attribute(attr="cat"), args=[ast.Name()]) as joined,
            ):
                self.places += 1
                # Column 0 is x0, which the host gave.
                candidates = ast.parse("candidate_input_ids[:, 1:]", mode="eval").body
                node.value = ast.copy_location(candidates, joined)
        return node


def _candidates_for_logits(function: ast.FunctionDef) -> int:
    change = _CandidatesForLogits()
    change.visit(function)
    return change.places


PREFILL_ORDER = Edit("prefill order", PREFILL, _without_repeats, places=2)
CANDIDATES = Edit("candidates", STEP, _candidates_for_logits)

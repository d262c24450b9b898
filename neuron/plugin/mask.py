"""The draft's attention mask, which NxDI fills across rows.

Before its next pass the draft's mask gets the columns just written. NxDI fills them with
`index_fill_` over the positions of all rows, so every row's mask gets every row's columns, and
with rows at different positions a draft attends to cells that hold nothing of its sequence. The
target's mask is not touched: the output stays exact, acceptance is lost. `scatter_` with the same
arguments fills each row's own column; with one row the two are the same operation.

Read and run: NXDI 4bcdc54, models/model_base.py:1883, NeuronFusedSpecModel._token_gen_forward.
"""

from __future__ import annotations

import ast

from neuron.plugin.nxdi_source import Edit

FUNCTION = "_token_gen_forward"
KNOWN_DIGEST = "fdabe711fbbc6f828acfd2fc832541df99c877331a76bef530a19778817629d5"


class _FillByRow(ast.NodeTransformer):
    places = 0

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Call(
                func=ast.Attribute(value=mask, attr="index_fill_"),
                args=[
                    ast.Constant(value=1) as columns_dim,
                    ast.Call(func=ast.Attribute(value=columns, attr="squeeze"), args=[]),
                    ast.Constant(value=1) as filled,
                ],
                keywords=[],
            ):
                self.places += 1
                scatter = ast.Attribute(value=mask, attr="scatter_", ctx=ast.Load())
                call = ast.Call(func=scatter, args=[columns_dim, columns, filled], keywords=[])
                return ast.copy_location(call, node)
        return node


def _fill_by_row(function: ast.FunctionDef) -> int:
    change = _FillByRow()
    change.visit(function)
    return change.places


FILL_BY_ROW = Edit("mask", FUNCTION, _fill_by_row)

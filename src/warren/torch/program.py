"""One training step of all members as a program: every member's gradients from one forward and backward pass.

Members are independent, so the gradient of the sum of their losses holds each member's own. Traced, the pass is a flat
list of operations without the machinery of vmap and autograd around them, which for small nets is most of the time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx

from warren.errors import MissingExtra
from warren.stacked import Untraceable

Mode = Literal["traced", "eager", "compiled"]
MODES = ("traced", "eager", "compiled")

Flat = Callable[..., list[Tensor]]
"""Tensors in, tensors out."""


class Programs:
    """A function in the form that a mode runs it in, made once for each number and shape of its arguments.

    Args:
        function: From tensors to tensors; it may write into some of them, and may draw from torch's generators.
        mode: See `warren.torch.population`.
        module: What the function calls, for a look whether the call changes it.
    """

    def __init__(self, function: Flat, mode: Mode, module: nn.Module) -> None:
        self._function = function
        self._mode = mode
        self._module = module
        self._made: dict[tuple[Any, ...], Flat] = {}

    def __call__(self, *arguments: Tensor) -> list[Tensor]:
        """Run it."""
        if self._mode == "eager":
            return self._function(*arguments)
        key = tuple((one.shape, one.dtype) for one in arguments)
        program = self._made.get(key)
        if program is None:
            program = self._made[key] = self._make(arguments)
        return program(*arguments)

    def _make(self, arguments: Sequence[Tensor]) -> Flat:
        graph = traced(self._function, arguments, self._module)
        if self._mode == "traced":
            return graph
        return _Compiled(graph)


class _Compiled:
    """A graph that `torch.compile` has made a program of.

    Args:
        graph: What is compiled.
    """

    def __init__(self, graph: fx.GraphModule) -> None:
        self._program: Any = torch.compile(graph, dynamic=False)
        self._ran = False

    def __call__(self, *arguments: Tensor) -> list[Tensor]:
        """Run it; the first call compiles.

        Raises:
            MissingExtra: There is no C++ compiler.
            Untraceable: It cannot be compiled.
        """
        if self._ran:
            found: list[Tensor] = self._program(*arguments)
            return found
        try:
            found = self._program(*arguments)
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:
            told = str(error)
            if "InvalidCxxCompiler" in told or "No working C++ compiler" in told:
                raise MissingExtra(
                    "mode='compiled' needs a C++ compiler, and torch finds none (g++ or clang++ on the path); install "
                    "one, or leave out mode="
                ) from error
            line = next((one for one in told.splitlines() if one.strip()), type(error).__name__)
            raise Untraceable(
                f"torch.compile cannot compile the training step: {line.strip()}; leave out mode="
            ) from error
        self._ran = True
        return found


def traced(function: Flat, arguments: Sequence[Tensor], module: nn.Module) -> fx.GraphModule:
    """The operations that a function does on arguments of these shapes.

    Args:
        function: See `Programs`.
        arguments: A first example; they are not written into.
        module: See `Programs`.

    Raises:
        Untraceable: What the function does depends on more than its arguments and torch's generators.
    """
    before, numbers = _plain(module), _generators()
    devices = sorted({one.device.index for one in arguments if one.device.type == "cuda"})
    # A run that is resumed traces anew, and must draw as the first one did.
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        graph = make_fx(function)(*[one.clone() for one in arguments])
    after = _plain(module)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if changed:
        raise Untraceable(
            f"the training step changes {changed[0]!r} of the module, a plain value that all members would share; make "
            "it a buffer (register_buffer), or give mode='eager'"
        )
    if numbers != _generators():
        raise Untraceable(
            "the training step draws from Python's or NumPy's generator, and would do it once for all steps; draw with "
            "torch, or give mode='eager'"
        )
    return simplified(graph)


def _plain(module: nn.Module) -> dict[str, Any]:
    """The plain numbers and strings among the attributes of a module and those in it."""
    return {
        f"{path}.{name}" if path else name: value
        for path, one in module.named_modules()
        for name, value in vars(one).items()
        if isinstance(value, (bool, int, float, str))
    }


def _generators() -> tuple[Any, ...]:
    state: Any = np.random.get_state()
    return random.getstate(), state[1].tobytes(), state[2:]


_VIEWS = {
    torch.ops.aten.detach.default,
    torch.ops.aten.view.default,
    torch.ops.aten.expand.default,
    torch.ops.aten._unsafe_view.default,
}
_TRANSPOSE = torch.ops.aten.transpose.int
_BMM = torch.ops.aten.bmm.default
_TIMES = torch.ops.aten.mul.Scalar


def simplified(graph: fx.GraphModule) -> fx.GraphModule:
    """The same operations without those that do nothing, and with products in the layout that their result is used in.

    The gradient of a layer's weights comes as ``(x.T @ d).T``, written as it is stored: ``d.T @ x`` is several times
    faster where the layer is narrow, and the optimizer then walks memory in order.
    """
    for node in list(graph.graph.nodes):
        if node.op != "call_function" or not node.args or not isinstance(node.args[0], fx.Node):
            continue
        source = node.args[0]
        idle = (node.target in _VIEWS and _like(node, source)) or (
            node.target is _TIMES and node.args[1] == 1 and _like(node, source)
        )
        if idle:
            node.replace_all_uses_with(source)
            graph.graph.erase_node(node)
    for node in list(graph.graph.nodes):
        product = _turned(node)
        left = (
            None
            if product is None or len(product.users) != 1 or product.target is not _BMM
            else _turned(product.args[0])
        )
        if product is None or left is None:
            continue
        with graph.graph.inserting_before(node):
            turned = graph.graph.call_function(_TRANSPOSE, (product.args[1], 1, 2))
            better = graph.graph.call_function(_BMM, (turned, left))
        better.meta = dict(node.meta)
        node.replace_all_uses_with(better)
        rest = product.args[0]
        graph.graph.erase_node(node)
        graph.graph.erase_node(product)
        if not rest.users:
            graph.graph.erase_node(rest)
    graph.recompile()
    return graph


def _like(node: fx.Node, other: fx.Node) -> bool:
    a, b = node.meta.get("val"), other.meta.get("val")
    return isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape == b.shape and a.dtype == b.dtype


def _turned(node: Any) -> Any:
    """What the node transposes, if it swaps the last two axes of three."""
    if isinstance(node, fx.Node) and node.target is _TRANSPOSE and tuple(node.args[1:]) in ((1, 2), (2, 1)):
        value = node.meta.get("val")
        return node.args[0] if isinstance(value, Tensor) and value.dim() == 3 else None
    return None

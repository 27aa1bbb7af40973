"""What tracing leaves of a training step."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from warren.torch.program import simplified, traced  # noqa: E402 (it imports torch)

nn = torch.nn
make_fx = pytest.importorskip("torch.fx.experimental.proxy_tensor").make_fx


def step(weight: Any, x: Any) -> list[Any]:
    """The gradient of a layer's weights, as vmap and autograd compute it."""
    leaf = weight.detach().requires_grad_()
    with torch.enable_grad():
        out = torch.bmm(x, leaf.transpose(1, 2)).view(3, 5, 4).relu()
        return list(torch.autograd.grad(out.pow(2).sum(), [leaf]))


ARGUMENTS = (torch.randn(3, 4, 6), torch.randn(3, 5, 6))


def operations(graph: Any) -> list[str]:
    return [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]


def test_a_simplified_step_gives_the_same_in_fewer_operations() -> None:
    plain = make_fx(step)(*ARGUMENTS)
    before = operations(plain)
    (wanted,) = plain(*ARGUMENTS)
    graph = simplified(plain)
    (found,) = graph(*ARGUMENTS)
    torch.testing.assert_close(found, wanted)
    assert len(operations(graph)) < len(before)
    assert not any("detach" in name or "view" in name for name in operations(graph))


def test_gradients_of_weights_come_in_the_layout_of_the_weights() -> None:
    plain = make_fx(step)(*ARGUMENTS)
    assert not plain(*ARGUMENTS)[0].is_contiguous()  # it comes as a product that is then transposed
    assert simplified(plain)(*ARGUMENTS)[0].is_contiguous()


def test_a_product_that_is_used_otherwise_too_stays() -> None:
    def both(a: Any, b: Any) -> list[Any]:
        product = torch.bmm(a.transpose(1, 2), b)
        return [product, product.transpose(1, 2)]

    arguments = (torch.randn(2, 5, 3), torch.randn(2, 5, 4))
    graph = simplified(make_fx(both)(*arguments))
    for found, wanted in zip(graph(*arguments), both(*arguments), strict=True):
        torch.testing.assert_close(found, wanted)


def test_tracing_writes_into_nothing_and_draws_nothing() -> None:
    counter = torch.zeros(2)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    graph = traced(lambda held: [held.add_(1), torch.rand(2)], [counter], nn.Identity())
    assert torch.equal(torch.rand(1), expected)
    assert counter.tolist() == [0.0, 0.0]
    graph(counter)
    assert counter.tolist() == [1.0, 1.0]

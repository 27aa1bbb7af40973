from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from warren.errors import StateError
from warren.state import Hosted, clone, encode, hosted


def same_bytes(stacked: Any) -> Hosted:
    """The parts of an array give the same file, on the host as where it came from."""
    host = hosted(stacked)
    assert isinstance(host, Hosted)
    for place in range(len(stacked)):
        tree = {"w": [stacked[place]], "n": 1}
        assert encode({"w": [host.at(place)], "n": 1}).tobytes() == encode(tree).tobytes()
        part = stacked[place]
        assert encode([part, part]).size == encode([host.at(place), host.at(place)]).size
    return host


def test_parts_are_not_copied_and_keep_their_axes() -> None:
    host = Hosted("t", np.arange(6, dtype=np.float32).reshape(3, 2))
    assert np.shares_memory(host.at(1).array, host.array)
    assert host.at(1).at(1).array.shape == ()
    _, chunk = encode(host.at(2)).chunks()
    assert np.shares_memory(np.frombuffer(chunk, np.float32), host.array)


def test_tags_and_types_in_the_file() -> None:
    """Also where the framework is not installed."""
    numbers = np.zeros((2, 3), np.uint32)
    for host, tag, dtype in (
        (Hosted("t", numbers), '{"t":"w"}', "U32"),
        (Hosted("t", numbers.astype(np.int16), "bfloat16"), '{"t":"w"}', "BF16"),
        (Hosted("j", numbers), '{"j":"w"}', "U32"),
        (Hosted("k", numbers, "threefry2x32"), '{"k":["w","threefry2x32"]}', "U32"),
    ):
        content = encode({"w": host}).tobytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        assert header["__metadata__"]["warren"] == f'{{"d":{{"w":{tag}}}}}'
        assert header["w"]["dtype"] == dtype


def test_what_no_framework_has_is_what_it_is() -> None:
    array = np.arange(3)
    assert hosted(array) is array and hosted(2.5) == 2.5
    host = Hosted("j", array)
    assert clone({"w": host})["w"] is host


@pytest.mark.parametrize(
    ("host", "says"),
    [
        (Hosted("t", np.zeros(2, np.int32), "bfloat16"), "int32 does not hold the numbers of a tensor of bfloat16"),
        (Hosted("t", np.zeros(2, np.float16), "bfloat16"), "float16 does not hold"),
        (Hosted("t", np.zeros(2, np.int64), "float1"), "float1"),
        (Hosted("t", np.zeros(2, "M8[s]")), "numbers of a torch tensor"),
        (Hosted("t", np.array(["a"])), "<U1 cannot be stored"),
    ],
)
def test_arrays_that_hold_something_else_are_refused(host: Hosted, says: str) -> None:
    with pytest.raises(StateError, match=f"state at 'w': .*{says}"):
        encode({"w": host})


def test_the_header_is_what_json_writes() -> None:
    """It is put together by hand."""
    tree = {'a"\\b\n': np.zeros((0, 2)), "ä€": [np.ones(3, np.int8), np.zeros(())], "\ud800": np.ones(1), "": b"x"}
    content = encode(tree).tobytes()
    text = content[8 : 8 + int.from_bytes(content[:8], "little")].decode("ascii")
    assert text.rstrip(" ") == json.dumps(json.loads(text), separators=(",", ":"))


# -- torch ------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:ComplexHalf")
@pytest.mark.parametrize("shape", [(3,), (3, 2, 4), (2, 0)], ids=str)
@pytest.mark.parametrize(
    "name",
    ["float32", "float64", "float16", "bfloat16", "int64", "uint8", "uint16", "bool", "complex64", "complex128"]
    + ["complex32", "float8_e4m3fn", "float8_e5m2"],
)  # fmt: skip
def test_tensors_are_stored_as_tensors(name: str, shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    if not hasattr(torch, name):
        pytest.skip(f"this torch has no {name}")
    dtype = getattr(torch, name)
    size = torch.empty((), dtype=dtype).element_size() * int(np.prod(shape))
    stacked = (torch.arange(size) % 2).to(torch.uint8).view(dtype).view(shape)
    same_bytes(stacked)


def test_tensors_that_are_lazy_transposed_or_need_gradients() -> None:
    torch = pytest.importorskip("torch")
    numbers = torch.view_as_complex(torch.arange(12.0).view(3, 2, 2))
    same_bytes(numbers.conj())
    same_bytes(numbers.conj().imag)
    same_bytes(torch.arange(12.0).view(4, 3).t())
    same_bytes(torch.nn.Parameter(torch.ones(2, 3)))


def test_tensors_come_back_as_tensors() -> None:
    torch = pytest.importorskip("torch")
    from warren.state import decode

    stacked = torch.arange(6.0).view(3, 2).bfloat16()
    again = decode(bytearray(encode(hosted(stacked).at(2)).tobytes()))
    assert again.dtype == torch.bfloat16 and torch.equal(again, stacked[2])


def test_tensors_that_cannot_be_stored_are_refused_on_the_way() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(StateError, match="to_dense"):
        hosted(torch.eye(3).to_sparse())


# -- JAX --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["float32", "bfloat16", "int32", "bool_", "complex64", "float8_e4m3fn"])
@pytest.mark.parametrize("shape", [(3,), (3, 2, 4)], ids=str)
def test_jax_arrays_are_stored_as_such(name: str, shape: tuple[int, ...]) -> None:
    jax = pytest.importorskip("jax")
    array = jax.numpy.arange(np.prod(shape)).reshape(shape).astype(getattr(jax.numpy, name))
    assert same_bytes(array).kind == "j"


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_jax_keys_are_stored_as_such(impl: str) -> None:
    jax = pytest.importorskip("jax")
    assert same_bytes(jax.random.split(jax.random.key(3, impl=impl), 3)).view == impl
    assert same_bytes(jax.random.split(jax.random.key(3, impl=impl), (3, 2))).kind == "k"

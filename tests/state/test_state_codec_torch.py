from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from warren.errors import CheckpointDamaged, StateError  # noqa: E402
from warren.state import clone, decode, encode  # noqa: E402

NAMES = [
    *("float64", "float32", "float16", "bfloat16", "complex128", "complex64", "complex32", "bool"),
    *("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8"),
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"),
]
DTYPES = [getattr(torch, name) for name in NAMES if hasattr(torch, name)]


def raw(shape: tuple[int, ...], dtype: Any) -> Any:
    """A tensor of any type, with all kinds of bits in it."""
    count = int(np.prod(shape)) * dtype.itemsize
    bits = torch.arange(count, dtype=torch.int64) * 37 % (2 if dtype is torch.bool else 251)
    return bits.to(torch.uint8).view(dtype).view(shape)


def bits(tensor: Any) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def check(tensor: Any) -> None:
    content = encode({"t": [tensor]}).tobytes()
    for buffer in (content, bytearray(content)):
        (again,) = decode(buffer)["t"]
        assert type(again) is torch.Tensor
        assert (again.dtype, again.shape, again.device.type) == (tensor.dtype, tensor.shape, "cpu")
        assert not again.requires_grad and again.is_contiguous()
        assert bits(again) == bits(tensor)
    assert encode({"t": [again]}).tobytes() == content


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (0, 4)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_types(dtype: Any, shape: tuple[int, ...]) -> None:
    check(raw(shape, dtype))


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(12.0).view(3, 4).t(),
        torch.arange(12.0)[3::2],
        torch.arange(3.0).expand(2, 3),
        torch.arange(120.0).view(2, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.nn.Parameter(torch.arange(3.0)),
        torch.arange(3.0, requires_grad=True) * 2,
        torch.view_as_complex(torch.arange(6.0).view(3, 2)).conj(),
        torch.view_as_complex(torch.arange(6.0).view(3, 2)).conj().imag,
    ],
    ids=range(8),
)
def test_layouts(tensor: Any) -> None:
    check(tensor.resolve_conj().resolve_neg() if tensor.is_conj() or tensor.is_neg() else tensor)
    (again,) = decode(encode([tensor]).tobytes())
    assert torch.equal(again, tensor)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_tensor_on_a_gpu_comes_to_the_host() -> None:
    check(torch.arange(12.0, device="cuda").view(3, 4).t())


def test_the_library_reads_our_files() -> None:
    library = pytest.importorskip("safetensors.torch")
    tree = {"net": {"w": raw((2, 3), torch.bfloat16), "b": raw((3,), torch.float32), "n": torch.tensor(3)}}
    loaded = library.load(encode(tree).tobytes())
    assert set(loaded) == {"net.w", "net.b", "net.n"}
    assert all(torch.equal(loaded[f"net.{key}"].view(torch.uint8), value.view(torch.uint8))
               for key, value in tree["net"].items() if value.ndim)  # fmt: skip
    assert loaded["net.n"].item() == 3


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2", "complex64", "uint16"])
def test_the_library_reads_rare_types(name: str) -> None:
    library = pytest.importorskip("safetensors.torch")
    if not hasattr(torch, name):
        pytest.skip(f"this torch has no {name}")
    tensor = raw((4,), getattr(torch, name))
    try:
        loaded = library.load(encode({"t": tensor}).tobytes())
    except pytest.importorskip("safetensors").SafetensorError:
        pytest.skip(f"this version of the library has no {name}")
    assert bits(loaded["t"]) == bits(tensor)


def test_tied_tensors_are_stored_once_and_decoded_over_one_memory() -> None:
    weight = torch.nn.Parameter(torch.arange(100.0).view(10, 10))
    tree = {"a": weight, "b": weight.detach(), "t": weight.t(), "other": weight.detach().clone()}
    encoded = encode(tree)
    assert [leaf.nbytes for leaf in encoded.leaves] == [400, 400, 400]
    for buffer in (encoded.tobytes(), bytearray(encoded.tobytes())):
        again = decode(buffer)
        assert again["a"] is not again["b"]
        assert again["a"].data_ptr() == again["b"].data_ptr() != again["other"].data_ptr()
        assert torch.equal(again["t"], weight.t())
        assert encode(again).size == encoded.size


def test_conjugates_are_not_tied_to_what_they_are_views_of() -> None:
    number = torch.view_as_complex(torch.arange(6.0).view(3, 2))
    one, two = decode(encode([number, number.conj()]).tobytes())
    assert torch.equal(one, number) and torch.equal(two, number.conj())


def test_writable_buffers_are_viewed_and_others_are_never_written() -> None:
    content = encode({"t": torch.arange(4.0)}).tobytes()
    before = bytes(bytearray(content))
    decode(content)["t"].fill_(9.0)
    assert content == before
    buffer = bytearray(content)
    decode(buffer)["t"].fill_(9.0)
    assert torch.equal(decode(buffer)["t"], torch.full((4,), 9.0))


def test_an_unaligned_buffer() -> None:
    content = encode({"t": torch.arange(4.0)}).tobytes()
    tensor = decode(memoryview(bytearray(b"?" + content))[1:])["t"]
    assert tensor.data_ptr() % 4 == 0 and torch.equal(tensor, torch.arange(4.0))


def test_contiguous_tensors_are_not_copied() -> None:
    tensor = torch.arange(4.0)
    _, chunk = encode([tensor]).chunks()
    tensor.fill_(5.0)
    assert np.frombuffer(chunk, np.float32)[0] == 5.0


def test_numpy_and_torch_stay_what_they_are() -> None:
    shared = np.arange(3.0)
    again = decode(encode([shared, torch.from_numpy(shared)]).tobytes())
    assert isinstance(again[0], np.ndarray) and isinstance(again[1], torch.Tensor)


def test_clone_owns_its_memory() -> None:
    tensor = torch.arange(3.0, requires_grad=True)
    copy = clone([tensor])[0]
    assert copy.data_ptr() != tensor.data_ptr() and not copy.requires_grad and torch.equal(copy, tensor)


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        (lambda: torch.eye(3).to_sparse(), r"layout torch.sparse_coo.*to_dense"),
        (lambda: torch.empty(3, device="meta"), "meta device has no data"),
        (lambda: torch.nn.LazyLinear(3).weight, "no shape yet; run one batch"),
    ],
)
def test_what_cannot_be_stored(tensor: Any, says: str) -> None:
    with pytest.raises(StateError, match=f"state at 'net.w': .*{says}"):
        encode({"net": {"w": tensor()}})


@pytest.mark.parametrize(("view", "shape"), [("complex128", [3]), ("float32", [2]), ("complex32", [2])])
def test_a_forged_view_is_refused(view: str, shape: list[int]) -> None:
    header = {
        "__metadata__": {"warren": json.dumps({"t": ["w", view]})},
        "w": {"dtype": "I64", "shape": shape, "data_offsets": [0, 8 * shape[0]]},
    }
    text = json.dumps(header).encode()
    with pytest.raises(CheckpointDamaged):
        decode(len(text).to_bytes(8, "little") + text + b"0" * 8 * shape[0])

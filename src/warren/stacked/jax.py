"""JAX: a task's functions on one member, mapped over all by vmap and compiled once by jit."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from warren.errors import InvalidType, InvalidValue, StateError
from warren.stacked.arrays import Places
from warren.stacked.base import (
    Arrays,
    Functions,
    Outcome,
    OutOfMemory,
    Round,
    Untraceable,
    columns,
    nested,
    own_line,
    reported,
)
from warren.stacked.picture import ListedPicture, Picture, StackedPicture
from warren.state import Tree, encode
from warren.state.leaves import Hosted

# By name, because type checkers find JAX on few machines.
jax: Any = importlib.import_module("jax")
jnp: Any = importlib.import_module("jax.numpy")

_FLAT = "leaves"
"""Key of a state that is stored as its leaves by path, since its containers are classes of its own (Equinox, Flax)."""

States = list[Any]
"""The arrays among the leaves of n members' states, each with a leading member axis."""


class TracedKey:
    """The key of one member inside the program: its seed has no value yet."""

    def __init__(self, seed: Any) -> None:
        self._seed = seed

    @property
    def seed(self) -> Any:
        """A traced whole number."""
        return self._seed

    def jax(self) -> Any:
        """A JAX key, the same as on every other engine."""
        return jax.random.key(self._seed)

    def numpy(self) -> np.random.Generator:
        """Refused: the draws would be the same for all members and all intervals."""
        raise Untraceable("rng.numpy() cannot be used in a program for all members at once; draw with rng.jax()")

    def torch(self, device: Any = "cpu") -> Any:
        """Refused, as `numpy`."""
        raise Untraceable("rng.torch() cannot be used in a program of JAX; draw with rng.jax()")


class JaxLift:
    """See `Lift`. One program is compiled for each number of members and length of stretch, whatever the values.

    Args:
        task: The functions, on one member.
        sample: The state of some fresh member, which tells containers and types.
        device: As ``"cpu:0"`` or ``"gpu:1"``; None is JAX's default.
    """

    fixed = True

    def __init__(self, task: Functions, sample: Tree, device: str | None = None) -> None:
        self._task = task
        self._device = None if device is None else find_device(device)
        self._form = _Form(sample)
        self._settled = False
        self._traceable: bool | None = None
        self._init = jax.jit(jax.vmap(self._first))
        self._program = jax.jit(self._stretch)
        self._take = jax.jit(lambda state, places: [leaf[places] for leaf in state])
        self._put = jax.jit(
            lambda state, places, part: [leaf.at[places].set(new) for leaf, new in zip(state, part, strict=True)]
        )

    # -- see `Lift` ---------------------------------------------------------------------------------------------

    def init(self, seeds: Sequence[int], hyperparameters: Sequence[Mapping[str, Any]]) -> States:
        """See `Lift`; traced for all members at once where that gives what it gives one by one."""
        eager = [0, len(seeds) - 1] if self._traceable is None else []
        if self._traceable is not False:
            samples = {place: self._one_by_one([seeds[place]], [hyperparameters[place]]) for place in eager}
            try:
                state = self._init(np.array(seeds, dtype=np.uint32), columns(hyperparameters))
                # What is drawn from a generator of NumPy's would have been drawn once, for all members.
                self._traceable = all(_alike(self._take(state, np.array([p])), one) for p, one in samples.items())
            except Exception:  # whatever it is: called one by one, it works or is told
                self._traceable = False
        if not self._traceable:
            state = self._one_by_one(seeds, hyperparameters)
        return self._brought(state, hyperparameters[0])

    def train(self, state: States, hyperparameters: Arrays, keys: Round) -> tuple[States, Callable[[], Outcome]]:
        """See `Lift`. It returns while the device is at work."""
        seeds = np.array([[(a.seed, b.seed) for a, b in interval] for interval in keys], dtype=np.uint32)
        with _explained():
            state, (scores, metrics) = self._program(state, dict(hyperparameters), seeds)

        def outcome() -> Outcome:
            with _explained():
                return Outcome(
                    scores=np.asarray(scores).astype(np.float64),
                    metrics={name: np.asarray(value).astype(np.float64) for name, value in metrics.items()},
                )

        return state, outcome

    def take(self, state: States, places: Places) -> States:
        """See `Lift`."""
        taken: States = self._take(state, places)
        return taken

    def put(self, state: States, places: Places, part: States) -> States:
        """See `Lift`."""
        state = self._put(state, places, part)
        return state

    def stack(self, trees: Sequence[Tree]) -> States:
        """See `Lift`."""
        rows = [self._form.arrays(tree) for tree in trees]
        return self._brought([_stacked(leaves) for leaves in zip(*rows, strict=True)], None)

    def picture(self, state: States) -> Callable[[], Picture]:
        """See `Lift`. Arrays of JAX's do not change, so the picture is the arrays themselves."""
        return lambda: self._form.picture(state)

    def member(self, state: States, place: int) -> Tree:
        """See `Lift`."""
        return self._form.stored([leaf[place] for leaf in state])

    def adopt(self, state: States) -> States:
        """See `Lift`."""
        return [jax.device_put(leaf, self._device) for leaf in state]

    # -- inside the program -------------------------------------------------------------------------------------

    def _first(self, seed: Any, hyperparameters: Mapping[str, Any]) -> States:
        return self._form.split(self._task.init(seed, nested(hyperparameters)), "init")

    def _one(self, state: States, hyperparameters: Mapping[str, Any], seeds: Any) -> tuple[States, Any]:
        tree = self._task.train_interval(self._form.joined(state), nested(hyperparameters), TracedKey(seeds[0]))
        after = self._form.split(tree, "train_interval")
        score, metrics = reported(self._task.evaluate(tree, TracedKey(seeds[1])))
        return after, (_number(score, "the score"), {n: _number(v, f"the metric {n!r}") for n, v in metrics.items()})

    def _stretch(self, state: States, hyperparameters: Mapping[str, Any], seeds: Any) -> tuple[States, Any]:
        everyone = jax.vmap(self._one)
        if seeds.shape[0] == 1:  # a loop of one would only hinder the compiler
            after, reports = everyone(state, hyperparameters, seeds[0])
            return after, jax.tree_util.tree_map(lambda leaf: leaf[None], reports)
        after, reports = jax.lax.scan(lambda s, one: everyone(s, hyperparameters, one), state, seeds)
        return after, reports

    # -- the parts ----------------------------------------------------------------------------------------------

    def _one_by_one(self, seeds: Sequence[int], hyperparameters: Sequence[Mapping[str, Any]]) -> States:
        rows = []
        for seed, values in zip(seeds, hyperparameters, strict=True):
            rows.append(self._form.split(self._task.init(int(seed), nested(values)), "init"))
        return [_stacked(leaves) for leaves in zip(*rows, strict=True)]

    def _brought(self, state: States, hyperparameters: Mapping[str, Any] | None) -> States:
        """The states on the device, in the types that the program gives back, so that it is compiled only once."""
        if not self._settled and hyperparameters is not None:
            self._settle(state, hyperparameters)
        types = self._form.types
        typed = [leaf if _is_key(leaf) else jnp.asarray(leaf, dtype=t) for leaf, t in zip(state, types, strict=True)]
        return [jax.device_put(leaf, self._device) for leaf in typed]

    def settle(self, hyperparameters: Mapping[str, Any]) -> None:
        """Find the types that the program gives back, before states that were stored are brought to it.

        Args:
            hyperparameters: Of some member, by their flat names.

        Raises:
            InvalidValue: The functions cannot be run for all members at once.
        """
        if not self._settled:
            sample = self._form.split(self._form.sample, "init")
            self._settle([_stacked([leaf]) for leaf in sample], hyperparameters)

    def _settle(self, state: States, hyperparameters: Mapping[str, Any]) -> None:
        hyper = {name: column[0] for name, column in columns([hyperparameters]).items()}
        one = [jax.ShapeDtypeStruct(np.shape(leaf)[1:], _dtype(leaf)) for leaf in state]
        seeds = jax.ShapeDtypeStruct((2,), np.uint32)
        before = one
        for _ in range(2):  # a whole number that training makes a float: begin with a float
            with _explained():
                after, _ = jax.eval_shape(self._one, before, hyper, seeds)
            for path, old, new in zip(self._form.paths, one, after, strict=True):
                if old.shape != new.shape:
                    raise InvalidValue(
                        f"train_interval: the state's leaf {path!r} has changed its shape from {old.shape} to "
                        f"{new.shape}; one program keeps all shapes. Give it its final shape in init"
                    )
            changing = [
                f"{path!r} ({old.dtype} to {new.dtype})"
                for path, old, new in zip(self._form.paths, before, after, strict=True)
                if old.dtype != new.dtype
            ]
            if not changing:
                self._form.keep([leaf.dtype for leaf in after])
                self._settled = True
                return
            before = after
        raise InvalidValue(
            f"train_interval: the type of the state's leaf {changing[0]} changes at every interval; give it one type, "
            "for example with jnp.float32(...)"
        )


class _Form:
    """How a state is made of arrays: which of its leaves are arrays, and what is around them.

    Args:
        sample: A state.
    """

    def __init__(self, sample: Tree) -> None:
        self.sample = sample
        found, self._treedef = jax.tree_util.tree_flatten_with_path(sample)
        self._leaves = [leaf for _, leaf in found]
        self._places = [place for place, leaf in enumerate(self._leaves) if _is_array(leaf)]
        self._is_array = frozenset(self._places)
        names = [jax.tree_util.keystr(path, simple=True, separator=".") or "state" for path, _ in found]
        self.paths = [names[place] for place in self._places]
        self.types: list[Any] = [_dtype(self._leaves[place]) for place in self._places]
        # Whole numbers and the like, which are arrays in the program, are stored as what they were.
        self._plain = [
            type(leaf) if isinstance(leaf, (bool, int, float)) else None
            for leaf in (self._leaves[place] for place in self._places)
        ]
        try:
            encode(sample)
            self._flat = False
        except StateError:
            self._flat = True
        if not self._places:
            raise InvalidValue("init: the state holds no arrays; return a tree of arrays")

    def keep(self, types: list[Any]) -> None:
        """Know of the types that the program gives back: a whole number that it makes a fraction is stored as one."""
        self.types = types
        self._plain = [
            None if plain is None else type(np.zeros((), kind).item())
            for plain, kind in zip(self._plain, types, strict=True)
        ]

    def split(self, tree: Tree, function: str) -> States:
        """The arrays of a state.

        Raises:
            InvalidValue: It has another form than the sample.
        """
        leaves, treedef = jax.tree_util.tree_flatten(tree)
        if treedef != self._treedef:
            raise InvalidValue(
                f"{function}: the state has changed its form from {self._treedef} to {treedef}; one program keeps the "
                "form of the first state"
            )
        arrays = []
        for place, leaf in enumerate(leaves):
            if place in self._is_array:
                if not _is_array(leaf):
                    raise InvalidType(f"{function}: the state's leaf {leaf!r} was an array or number before")
                arrays.append(leaf)
            elif _is_array(leaf):
                raise InvalidType(f"{function}: the state's leaf {leaf!r} was {self._leaves[place]!r} before")
        return arrays

    def joined(self, arrays: States) -> Tree:
        """The state with these arrays."""
        leaves = list(self._leaves)
        for place, array in zip(self._places, arrays, strict=True):
            leaves[place] = array
        return jax.tree_util.tree_unflatten(self._treedef, leaves)

    def stored(self, arrays: States) -> Tree:
        """One member's state as it is stored."""
        values = [
            array if plain is None else plain(np.asarray(array))
            for array, plain in zip(arrays, self._plain, strict=True)
        ]
        return self._around(values)

    def arrays(self, tree: Tree) -> States:
        """The arrays of a state that was stored, whatever engine did."""
        held = tree.get(_FLAT) if self._flat and isinstance(tree, dict) else None
        if not isinstance(held, dict):
            return self.split(tree, "the stored state")
        if set(held) != set(self.paths):
            raise InvalidValue(
                f"the stored state does not fit: it has the leaves {sorted(held)}, and init makes {sorted(self.paths)}"
            )
        return [held[path] for path in self.paths]

    def picture(self, state: States) -> Picture:
        """The states on the host, as they are stored."""
        wholes = [_hosted(leaf) for leaf in state]
        if not any(self._plain):
            return StackedPicture(self._around(wholes))
        columns = [
            whole.array.tolist() if plain is not None else [whole.at(place) for place in range(len(whole.array))]
            for whole, plain in zip(wholes, self._plain, strict=True)
        ]
        return ListedPicture([self._around(list(row)) for row in zip(*columns, strict=True)])

    def _around(self, values: Sequence[Any]) -> Tree:
        """What is stored around the arrays."""
        return {_FLAT: dict(zip(self.paths, values, strict=True))} if self._flat else self.joined(list(values))


class JaxKind:
    """Arrays of JAX's with a leading member axis; see `warren.stacked.arrays.Kind`."""

    def take(self, leaf: Any, places: Places) -> Any:
        return leaf[places]

    def put(self, leaf: Any, places: Places, part: Any) -> Any:
        return leaf.at[places].set(part)

    def stack(self, leaves: Sequence[Any], device: str | None) -> Any:
        return jax.device_put(_stacked(leaves), None if device is None else find_device(device))

    def picture(self, leaf: Any) -> Callable[[], Hosted]:
        copy = jnp.copy(leaf)  # a function that donates its state gives the memory away
        return lambda: _hosted(copy)

    def member(self, leaf: Any, place: int) -> Any:
        return leaf[place]

    def moved(self, leaf: Any, device: str | None) -> Any:
        return jax.device_put(leaf, None if device is None else find_device(device))


KIND = JaxKind()


def find_device(name: str) -> Any:
    """The device of a name such as ``"cpu"``, ``"gpu:1"`` or ``"cuda:0"``.

    Raises:
        InvalidValue: It is not there.
    """
    platform, _, index = name.partition(":")
    try:
        return jax.devices(platform)[int(index or 0)]
    except (RuntimeError, IndexError, ValueError):
        there = ", ".join(f"{device.platform}:{device.id}" for device in jax.devices())
        raise InvalidValue(f"device {name!r} is not there; JAX has {there}") from None


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, (jax.Array, np.ndarray, np.generic, bool, int, float, complex, jax.core.Tracer))


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and bool(jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _hosted(leaf: Any) -> Hosted:
    """An array on the host, all members at once."""
    if _is_key(leaf):
        return Hosted("k", np.asarray(jax.random.key_data(leaf)), str(jax.random.key_impl(leaf)))
    return Hosted("j", np.asarray(leaf))


def _dtype(leaf: Any) -> Any:
    return leaf.dtype if isinstance(leaf, jax.Array) else jax.dtypes.canonicalize_dtype(np.asarray(leaf).dtype)


def _stacked(leaves: Sequence[Any]) -> Any:
    """One array of the leaves of n members."""
    if _is_key(leaves[0]):
        return jnp.stack(leaves)
    return np.stack([np.asarray(leaf) for leaf in leaves])


def _alike(a: States, b: States) -> bool:
    """Whether two states are the same up to rounding."""
    for one, other in zip(a, b, strict=True):
        x, y = (jax.random.key_data(leaf) if _is_key(leaf) else leaf for leaf in (one, other))
        left, right = np.asarray(x, dtype=np.complex128), np.asarray(y, dtype=np.complex128)
        if left.shape != right.shape or not np.allclose(left, right, rtol=1e-3, atol=1e-5, equal_nan=True):
            return False
    return True


def _number(value: Any, what: str) -> Any:
    array = jnp.asarray(value)
    if array.shape != ():
        raise InvalidType(
            f"evaluate: {what} must be one number, but got an array of shape {array.shape}; reduce it, for example "
            "with .mean()"
        )
    return array


@contextmanager
def _explained() -> Iterator[None]:
    """Turns what JAX says of functions that cannot be traced, and of full devices, into one line."""
    try:
        yield
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError, TypeError) as error:
        told = str(error).strip().splitlines()[0]
        if isinstance(error, TypeError) and not isinstance(error, jax.errors.JAXTypeError):
            if not told.startswith("Shapes must be"):
                raise
            told = "a shape depends on a value that differs between members, such as a hyperparameter"
        raise Untraceable(
            f"{own_line(error)}the task cannot be run for all members at once: {told.rstrip('.')}. Shapes must not "
            "depend on hyperparameters, and what depends on values is written with jax.numpy.where, jax.lax.cond or "
            "jax.lax.scan; engine='processes' runs it as it is"
        ) from error
    except jax.errors.JaxRuntimeError as error:
        told = str(error).strip().splitlines()[0]
        if "RESOURCE_EXHAUSTED" in told or "out of memory" in told.lower():
            raise OutOfMemory(told) from error
        raise

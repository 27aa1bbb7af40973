from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
from tests.stacked.jax_tasks import SPACE, TASK, evaluate, init, loss, train_interval  # noqa: E402

import warren  # noqa: E402
from warren.errors import InvalidType, InvalidValue  # noqa: E402
from warren.population import Keys  # noqa: E402
from warren.results import Result  # noqa: E402
from warren.stacked import Untraceable, columns  # noqa: E402
from warren.stacked.jax import JaxLift, TracedKey, find_device  # noqa: E402
from warren.state import decode, encode  # noqa: E402
from warren.testing.check import check  # noqa: E402
from warren.testing.engines import decisions  # noqa: E402
from warren.training import Rng  # noqa: E402


def run(task: Any = TASK, **arguments: Any) -> Result:
    given: dict[str, Any] = {
        "space": SPACE, "goal": "min", "population": 6, "intervals": 7, "seed": 2, "engine": "vectorised",
        "synchronous": True, "watch": lambda result: None, **arguments,
    }  # fmt: skip
    result = warren.run(task, **given)
    assert check(result.store, result.states) == []
    return result


def alike(a: Result, b: Result) -> None:
    """The same decisions, and scores that differ by rounding only."""
    one, other = decisions(a), decisions(b)
    assert [x[:5] for x in one] == [x[:5] for x in other]
    np.testing.assert_allclose([x[5] for x in one], [x[5] for x in other], rtol=1e-4, atol=1e-6)


def trees(lift: Any, state: Any, n: int) -> list[Any]:
    """Each member's state as it is stored and loaded again."""
    encoded = lift.picture(state)().encoded(range(n), [{}] * n)
    return [decode(bytearray(one.tobytes()))["state"] for one in encoded]


# -- the same on every engine -----------------------------------------------------------------------------------------


def test_all_engines_decide_alike(tmp_path: Any) -> None:
    inline = run(engine="inline", workers=1)
    alike(run(engine="processes", workers=2, store=tmp_path / "p.db"), inline)
    alike(run(), inline)
    alike(run(engine=warren.Vectorised(chunk=4)), inline)
    assert sum(row.origin == "exploit" for row in inline.intervals) > 3


def test_one_engine_goes_on_where_another_was(tmp_path: Any) -> None:
    expected = run()
    store = tmp_path / "run.db"
    run(intervals=2, store=store)
    run(engine="processes", workers=2, intervals=4, store=store)
    alike(run(store=store), expected)


def test_the_stored_state_is_what_the_inline_engine_stores() -> None:
    inline, other = run(engine="inline", workers=1), run()
    a, b = inline.best.state()["state"], other.best.state()["state"]
    assert jax.tree.structure(a) == jax.tree.structure(b)
    assert type(a["steps"]) is type(b["steps"]) is int
    assert a["steps"] == b["steps"]
    for left, right in zip(jax.tree.leaves(a["net"]), jax.tree.leaves(b["net"]), strict=True):
        assert isinstance(left, jax.Array)
        assert isinstance(right, jax.Array)
        assert left.dtype == right.dtype
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-5)
    assert jax.random.key_data(a["key"]).tolist() == jax.random.key_data(b["key"]).tolist()


# -- one program ------------------------------------------------------------------------------------------------------


def test_mutations_compile_nothing() -> None:
    traced: list[Any] = []

    def counted(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
        traced.append(hyperparameters["lr"])
        return train_interval(state, hyperparameters, rng)

    task = warren.Task(init=init, train_interval=counted, evaluate=evaluate)
    lifts: list[JaxLift] = []
    lift = JaxLift.__init__

    def kept(self: JaxLift, *args: Any) -> None:
        lift(self, *args)
        lifts.append(self)

    with pytest.MonkeyPatch.context() as context:
        context.setattr(JaxLift, "__init__", kept)
        result = run(task, intervals=12)
    assert len({tuple(row.hyperparameters.values()) for row in result.intervals}) > 12
    # Once for its shapes and types, once for the program; every call is of one interval here.
    assert len(traced) == 2
    [program] = [one._program._cache_size() for one in lifts]
    assert program == 1


def test_a_stretch_of_several_intervals_is_one_call_and_gives_the_same() -> None:
    strategy = warren.PBT(every=3, warmup=1)
    alike(run(strategy=strategy), run(strategy=strategy, engine=warren.Vectorised(fused=1)))
    alike(run(strategy=strategy), run(strategy=strategy, engine="inline", workers=1))


def lifted(task: Any = TASK, **hyperparameters: Any) -> JaxLift:
    values = {"lr": 0.1, "momentum": 0.5, **hyperparameters}
    lift = task.lift(3, values)
    assert isinstance(lift, JaxLift)
    lift.settle(values)
    return lift


def keys(members: int, interval: int = 1) -> Any:
    found = [Keys(seed=0, member=member, interval=interval) for member in range(members)]
    return [[(Rng(key, "user/train"), Rng(key, "user/evaluate")) for key in found]]


ROWS = [{"lr": 0.1 / (i + 1), "momentum": 0.5 + i / 10} for i in range(4)]


def test_members_are_trained_as_they_are_alone() -> None:
    lift = lifted()
    state, pending = lift.train(lift.init([5, 6, 7, 8], ROWS), columns(ROWS), keys(4))
    outcome = pending()
    for place, row in enumerate(ROWS):
        key = Keys(seed=0, member=place, interval=1)
        alone = train_interval(init(5 + place, row), row, Rng(key, "user/train"))
        score, metrics = evaluate(alone, Rng(key, "user/evaluate"))
        assert outcome.scores[0, place] == pytest.approx(float(score), rel=1e-5)
        assert outcome.metrics["norm"][0, place] == pytest.approx(float(metrics["norm"]), rel=1e-5)
        mine = lift.member(state, place)
        np.testing.assert_allclose(mine["net"]["a"], alone["net"]["a"], rtol=1e-4, atol=1e-6)
        assert mine["steps"] == 4


def test_take_put_and_stack_move_whole_states() -> None:
    lift = lifted()
    state = lift.init([5, 6, 7, 8], ROWS)
    before = trees(lift, state, 4)
    moved = lift.take(state, np.array([2, 2, 0, 3]))
    assert [encode(tree).tobytes() for tree in trees(lift, moved, 4)] == [
        encode(before[place]).tobytes() for place in (2, 2, 0, 3)
    ]
    back = lift.put(moved, np.array([1]), lift.take(state, np.array([1])))
    assert encode(trees(lift, back, 4)[1]).tobytes() == encode(before[1]).tobytes()
    again = lift.stack([decode(bytearray(encode(tree).tobytes())) for tree in before])
    assert [encode(tree).tobytes() for tree in trees(lift, again, 4)] == [encode(tree).tobytes() for tree in before]
    assert encode(lift.member(state, 3)).tobytes() == encode(before[3]).tobytes()


def test_a_picture_does_not_change_with_the_states() -> None:
    lift = lifted()
    state = lift.init([5, 6, 7, 8], ROWS)
    before = [encode({"state": tree}).tobytes() for tree in trees(lift, state, 4)]
    picture = lift.picture(state)
    state, pending = lift.train(state, columns(ROWS), keys(4))
    pending()
    assert [one.tobytes() for one in picture().encoded(range(4), [{}] * 4)] == before


def test_a_key_inside_the_program_is_the_one_outside() -> None:
    for seed in (0, 1, 2**31 - 1, 123456789):
        inside = jax.jit(lambda s: jax.random.key_data(TracedKey(s).jax()))(np.uint32(seed))
        assert inside.tolist() == jax.random.key_data(jax.random.key(seed)).tolist()


@pytest.mark.parametrize("generator", ["numpy", "hash"])
def test_states_that_init_draws_on_the_host_differ(generator: str) -> None:
    calls: list[Any] = []

    def drawn(seed: int, hyperparameters: dict[str, Any]) -> Any:
        calls.append(seed)
        if generator == "numpy":  # traced, this would be drawn once for all members
            np.random.seed(len(calls))
            return {"w": jnp.asarray(np.random.normal(size=3), dtype=jnp.float32)}
        return {"w": jnp.full(3, float(int(seed)))}  # cannot be traced at all

    task = warren.Task(
        init=drawn, train_interval=lambda state, values, rng: state, evaluate=lambda state, rng: state["w"].sum()
    )
    lift = lifted(task)
    state = lift.init([5, 6, 7, 8], ROWS)
    rows = {tuple(np.asarray(tree["w"]).tolist()) for tree in trees(lift, state, 4)}
    assert len(rows) == 4


# -- states as they are -----------------------------------------------------------------------------------------------


def same_everywhere(task: Any, tmp_path: Any, space: Any = SPACE) -> None:
    inline = run(task, engine="inline", workers=1, space=space)
    store = tmp_path / "run.db"
    run(task, intervals=3, store=store, space=space)
    alike(run(task, store=store, space=space), inline)
    other = tmp_path / "other.db"
    run(task, engine="inline", workers=1, intervals=3, store=other, space=space)
    alike(run(task, store=other, space=space), inline)
    assert sum(row.origin == "exploit" for row in inline.intervals) > 3


def test_optax_with_injected_hyperparameters(tmp_path: Any) -> None:
    optax = pytest.importorskip("optax")
    optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=0.1, momentum=0.5)

    def begin(seed: int, hyperparameters: dict[str, Any]) -> Any:
        net = init(seed, hyperparameters)["net"]
        return {"net": net, "optimizer": optimizer.init(net)}

    def step(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
        net, held = state["net"], state["optimizer"]
        held = held._replace(
            hyperparams={"learning_rate": hyperparameters["lr"], "momentum": hyperparameters["momentum"]}
        )
        for batch in jax.random.permutation(rng.jax(), 32).reshape(4, 8):
            from tests.stacked.jax_tasks import INPUTS, TARGETS

            updates, held = optimizer.update(jax.grad(loss)(net, INPUTS[batch], TARGETS[batch]), held, net)
            net = optax.apply_updates(net, updates)
        return {"net": net, "optimizer": held}

    task = warren.Task(init=begin, train_interval=step, evaluate=evaluate_net)
    same_everywhere(task, tmp_path)
    alike(run(task), run(TASK))  # the same as momentum written out


def evaluate_net(state: Any, rng: Any) -> Any:
    from tests.stacked.jax_tasks import INPUTS, TARGETS

    return loss(state["net"], INPUTS, TARGETS)


def test_equinox_modules(tmp_path: Any) -> None:
    eqx = pytest.importorskip("equinox")
    from tests.stacked.jax_tasks import INPUTS, TARGETS

    def begin(seed: int, hyperparameters: dict[str, Any]) -> Any:
        return eqx.nn.MLP(4, "scalar", 8, 1, activation=jnp.tanh, key=jax.random.key(seed))

    def error(net: Any) -> Any:
        return jnp.mean((jax.vmap(net)(INPUTS) - TARGETS) ** 2)

    def step(net: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
        gradient = eqx.filter_grad(error)(net)
        return eqx.apply_updates(net, jax.tree.map(lambda g: -hyperparameters["lr"] * g, gradient))

    task = warren.Task(init=begin, train_interval=step, evaluate=lambda net, rng: error(net))
    same_everywhere(task, tmp_path)
    stored = run(task).best.state()["state"]
    assert set(stored) == {"leaves"}
    assert all(isinstance(leaf, jax.Array) for leaf in stored["leaves"].values())


def test_flax_train_states(tmp_path: Any) -> None:
    optax = pytest.importorskip("optax")
    linen = pytest.importorskip("flax.linen")
    training = pytest.importorskip("flax.training.train_state")
    from tests.stacked.jax_tasks import INPUTS, TARGETS

    net = linen.Sequential([linen.Dense(8), jnp.tanh, linen.Dense(1)])
    optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=0.1)

    def begin(seed: int, hyperparameters: dict[str, Any]) -> Any:
        parameters = net.init(jax.random.key(seed), INPUTS)
        return training.TrainState.create(apply_fn=net.apply, params=parameters, tx=optimizer)

    def error(parameters: Any) -> Any:
        return jnp.mean((net.apply(parameters, INPUTS)[:, 0] - TARGETS) ** 2)

    def step(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
        held = state.opt_state._replace(hyperparams={"learning_rate": hyperparameters["lr"]})
        return state.replace(opt_state=held).apply_gradients(grads=jax.grad(error)(state.params))

    task = warren.Task(init=begin, train_interval=step, evaluate=lambda state, rng: error(state.params))
    same_everywhere(task, tmp_path)


def test_numbers_that_training_makes_fractions_begin_as_such() -> None:
    task = warren.Task(
        init=lambda seed, values: {"x": jnp.ones(2), "count": 0},
        train_interval=lambda state, values, rng: {"x": state["x"], "count": state["count"] + values["lr"]},
        evaluate=lambda state, rng: state["count"],
    )
    lift = lifted(task)
    state, pending = lift.train(lift.init([1, 2], ROWS[:2]), columns(ROWS[:2]), keys(2))
    assert pending().scores.tolist() == [[pytest.approx(0.1), pytest.approx(0.05)]]
    state, pending = lift.train(state, columns(ROWS[:2]), keys(2))
    assert pending().scores.tolist() == [[pytest.approx(0.2), pytest.approx(0.1)]]
    assert lift._program._cache_size() == 1


# -- what cannot be one program ---------------------------------------------------------------------------------------


def of(**functions: Any) -> warren.Task:
    return warren.Task(**{"init": init, "train_interval": train_interval, "evaluate": evaluate, **functions})


def branch(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
    if hyperparameters["lr"] > 0.1:
        return state
    return train_interval(state, hyperparameters, rng)


def shape(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
    return {**state, "net": {**state["net"], "b": jnp.zeros(hyperparameters["lr"].astype(int))}}


def number(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
    return {**state, "net": {**state["net"], "b": jnp.zeros(int(hyperparameters["lr"]))}}


def restless(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
    steps = state["steps"]
    return {**state, "steps": steps.astype(jnp.float16 if steps.dtype == jnp.float32 else jnp.float32)}


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (branch, r"test_stacked_jax.py:\d+ in branch: the task cannot be run for all members at once"),
        (number, r"test_stacked_jax.py:\d+ in number: .*Shapes must not depend on hyperparameters"),
        (shape, r"in shape: .*a shape depends on a value that differs between members"),
        (lambda state, values, rng: {**state, "steps": jnp.zeros(3)}, r"leaf 'steps' has changed its shape from \(\)"),
        (lambda state, values, rng: {**state, "more": 1}, "the state has changed its form"),
        (lambda state, values, rng: rng.numpy(), r"rng.numpy\(\) cannot be used .* draw with rng.jax\(\)"),
        (lambda state, values, rng: rng.torch(), r"rng.torch\(\) cannot be used .* draw with rng.jax\(\)"),
        (lambda state, values, rng: np.asarray(state["net"]["a"]), "cannot be run for all members at once"),
        (restless, "type of the state's leaf 'steps'"),
    ],
)
def test_a_step_that_cannot_be_traced_is_told_in_one_line(function: Callable[..., Any], said: str) -> None:
    with pytest.raises(InvalidValue, match=said) as caught:
        run(of(train_interval=function))
    assert "\n" not in str(caught.value)


def test_a_step_with_python_branches_runs_on_the_other_engines() -> None:
    result = run(of(train_interval=branch), engine="inline", workers=1)
    assert result.run.status == "done"


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(InvalidType, match=r"the score must be one number, but got an array of shape \(8,\)"):
        run(of(evaluate=lambda state, rng: state["net"]["b"]))
    with pytest.raises(InvalidType, match="or \\(score, metrics by name\\)"):
        run(of(evaluate=lambda state, rng: (1.0, 2.0)))


def test_a_device_that_is_not_there_is_refused() -> None:
    assert find_device("cpu").platform == find_device("cpu:0").platform == "cpu"
    for name in ("cpu:99", "gpu:0", "nonsense", "cpu:x"):
        with pytest.raises(InvalidValue, match=f"device '{name}' is not there; JAX has cpu:0"):
            run(engine=warren.Vectorised(devices=(name,)))


def test_a_stored_state_of_another_form_is_refused(tmp_path: Any) -> None:
    run(intervals=2, store=tmp_path / "run.db")
    wider = of(
        init=lambda seed, values: {**init(seed, values), "more": jnp.zeros(2)},
        train_interval=lambda state, values, rng: {**train_interval(state, values, rng), "more": state["more"]},
    )
    with pytest.raises(InvalidValue, match="the stored state: the state has changed its form"):
        run(wider, store=tmp_path / "run.db")


def test_untraceable_is_the_users_mistake() -> None:
    assert issubclass(Untraceable, InvalidValue)


def test_whole_numbers_that_become_fractions_are_stored_as_such(tmp_path: Any) -> None:
    def best(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
        return {"best": state["best"] + hyperparameters["lr"], "flag": state["flag"]}

    task = of(
        init=lambda seed, values: {"best": 0, "flag": False, "w": jnp.zeros(())},
        train_interval=lambda state, values, rng: {**best(state, values, rng), "w": state["w"]},
        evaluate=lambda state, rng: state["best"] + state["w"],
    )
    whole = run(task, strategy=warren.RandomSearch())
    run(task, strategy=warren.RandomSearch(), intervals=3, store=tmp_path / "run.db")
    alike(run(task, strategy=warren.RandomSearch(), store=tmp_path / "run.db"), whole)
    alike(run(task, strategy=warren.RandomSearch(), engine="inline", workers=1), whole)
    assert type(whole.best.state()["state"]["best"]) is float

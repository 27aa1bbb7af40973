from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("gymnasium")

import torch

import warren
from warren.errors import InvalidValue
from warren.zoo.rl.a2c import ActorCritic, OnPolicy
from warren.zoo.rl.agent import stepped
from warren.zoo.rl.environments import environment
from warren.zoo.rl.feudal import Feudal
from warren.zoo.rl.networks import Network, drawn
from warren.zoo.rl.presets import AGENTS, PRESETS
from warren.zoo.rl.stage import Stage
from warren.zoo.rl.unreal import Unreal
from warren.zoo.rl.unroll import Unroll, act, unrolled

SPACE = PRESETS["study"]().space
CORRIDOR = ActorCritic(env="tests.zoo.rl.envs:warren-test/Corridor-v0", environments=4, steps=200, width=16, held_out=4)
FIXED = {"lr": warren.Float(0.01, 0.01), "entropy_cost": warren.Float(0.01, 0.01), "unroll": warren.Int(10, 10)}


def run(agent, *, population=2, intervals=2, space=None, **more):
    return warren.run(
        agent, space=space or FIXED, goal="max", population=population, intervals=intervals,
        held_out="test", seed=0, watch=lambda result: None, **more,
    )  # fmt: skip


def test_it_learns_the_way_through_a_corridor():
    result = run(CORRIDOR, population=1, intervals=6)
    sampled = replace(CORRIDOR, plays="sampled")
    fresh = sampled.network(environment(CORRIDOR.env)).state_dict()
    assert sampled.returns(fresh, 40).mean() < 0.2  # a random walk takes 12 steps on average, and returns -0.2
    assert sampled.returns(result.final[0].state()["net"], 40).mean() > 0.6  # the best is 0.7
    assert result.final[0].score > 0.65 and result.final[0].held_out > 0.65
    row = result.intervals[-1]
    assert row.samples is not None and len(row.samples) == row.metrics["episodes"] >= 10
    assert row.score == pytest.approx(np.mean(row.samples[-10:]))
    state = result.final[0].state()
    assert state["steps"].tolist() == [6 * 4 * 200] and state["returns"].tolist() == list(row.samples[-10:])


def test_two_members_and_two_intervals_are_the_same_each_time():
    pole = replace(CORRIDOR, env="CartPole-v1", steps=60)  # whose episodes begin where their seeds say
    first, again = (run(pole, space=SPACE) for _ in range(2))
    assert first.digest == again.digest
    assert len(first.intervals) == 4 and not first.warnings


def test_check_finds_nothing_to_say():
    few = replace(CORRIDOR, environments=2, steps=14)  # so few episodes that those of the first interval count
    findings = warren.check(few, space=SPACE, goal="max", held_out="test")
    assert findings.ok, str(findings)


def test_an_interval_takes_its_steps_an_unroll_at_a_time(monkeypatch):
    lengths, original = [], OnPolicy.loss

    def loss(self, unroll):
        lengths.append(len(unroll.actions))
        return original(self, unroll)

    monkeypatch.setattr(OnPolicy, "loss", loss)
    run(replace(CORRIDOR, steps=25), population=1, intervals=1)
    assert lengths == [10, 10, 5]


def test_an_unroll_shows_what_happened_where():
    """Five steps of an environment that is cut after its third."""
    stage = Stage([environment("tests.zoo.rl.envs:warren-test/Counter-v0")], [0])
    moments = act(stage, lambda seen, generator: np.array([0]), torch.Generator(), 5)
    found = unrolled(moments, stage.seen)
    assert found.observations[:, 0, 0].tolist() == [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]
    assert found.begun[:, 0].tolist() == [True, False, False, True, False, False]
    assert found.rewards_before[:, 0].tolist() == [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]
    assert found.rewards[:, 0].tolist() == [1.0, 2.0, 3.0, 1.0, 2.0]
    assert found.truncated[:, 0].tolist() == [False, False, True, False, False]
    assert not found.terminated.any() and found.actions.tolist() == [[0]] * 5
    assert {place: final.tolist() for place, final in found.finals.items()} == {(2, 0): [3.0]}


def test_a_step_follows_the_values_of_what_an_episode_was_cut_at():
    """The value is 2 x + 1 for an observation x, the discount 1/2, and only values are learned, by SGD at rate 1.

    An unroll of one step that was cut at x = 3, with a reward of 4: R = 4 + 7 / 2 = 7.5. V(1) = 3, so that the error is
    3 - 7.5 = -4.5, and the gradient of half its square -4.5 x for the weight, with x = 1, and -4.5 for the bias.
    """

    class Line(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.value = torch.nn.Linear(1, 1)
            with torch.no_grad():
                self.value.weight[:], self.value.bias[:] = 2.0, 1.0

        def forward(self, x):
            return torch.zeros(len(x), 2), self.value(x).squeeze(-1)

    net = Line()
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    agent = replace(CORRIDOR, discount=0.5, value_cost=1.0, clip=1e9)
    no, yes = torch.zeros(1, 1, dtype=torch.bool), torch.ones(1, 1, dtype=torch.bool)
    unroll = Unroll(
        observations=torch.tensor([[[1.0]], [[100.0]]]), begun=torch.zeros(2, 1, dtype=torch.bool),
        actions_before=torch.zeros(2, 1, dtype=torch.int64), rewards_before=torch.zeros(2, 1),
        actions=torch.zeros(1, 1, dtype=torch.int64),
        rewards=torch.tensor([[4.0]]), terminated=no, truncated=yes, finals={(0, 0): np.array([3.0], np.float32)},
    )  # fmt: skip
    loss = OnPolicy(agent=agent, net=net, optimizer=optimizer, entropy_cost=0.0, unroll=1).loss(unroll)
    assert stepped(net, optimizer, loss, agent.clip)
    assert net.value.weight.item() == pytest.approx(2.0 + 4.5) and net.value.bias.item() == pytest.approx(1.0 + 4.5)


def test_a_member_that_diverges_says_so_and_is_replaced():
    wild = {**FIXED, "lr": warren.Float(1e-3, 1e30, scale="log")}
    initial = [{"lr": 1e30, "entropy_cost": 0.01, "unroll": 10}, {"lr": 0.01, "entropy_cost": 0.01, "unroll": 10}]
    result = run(CORRIDOR, space=wild, intervals=3, initial=initial)
    first = next(row for row in result.intervals if row.member == 0)
    assert first.status == "diverged"
    assert not [event for event in result.events if event.kind == "failure"]  # nothing was raised


def test_actions_are_drawn_with_the_policys_probabilities():
    logits = torch.log(torch.tensor([[0.7, 0.2, 0.1]])).expand(20_000, 3)
    shares = np.bincount(drawn(logits, torch.Generator().manual_seed(0)), minlength=3) / 20_000
    assert np.all(np.abs(shares - [0.7, 0.2, 0.1]) < 0.015)  # more than four standard deviations


def test_images_go_through_the_published_convolutions():
    net = Network((4, 84, 84), 6, 64)
    logits, values = net(torch.zeros(2, 4, 84, 84, dtype=torch.uint8))
    assert logits.shape == (2, 6) and values.shape == (2,)
    # 16 x (4 x 8 x 8) + 16, 32 x (16 x 4 x 4) + 32, 32 x 9 x 9 inputs to 256 units, 6 logits and a value of each
    wanted = (16 * 256 + 16) + (32 * 256 + 32) + (2592 * 256 + 256) + (256 * 6 + 6) + (256 + 1)
    assert sum(part.numel() for part in net.parameters()) == wanted


def test_where_no_episode_ended_those_that_were_broken_off_are_the_score(monkeypatch):
    """Two environments and four steps: 8 episodes of one step, then none that ends, of 1 + 2 + 3 + 4 = 10 so far.

    The last ten are eight of 1 and two of 10; a score of those that ended would have stood still at 1.
    """
    endless = replace(
        CORRIDOR, env="tests.zoo.rl.envs:warren-test/Endless-v0", environments=2, steps=4, held_out=1, longest=5
    )
    chosen = iter([1, 0])

    def train(self, stage, generator, steps):
        action = next(chosen)
        act(stage, lambda seen, generator: np.full(2, action), generator, steps)
        return True

    monkeypatch.setattr(OnPolicy, "train", train)
    ended, broken = run(endless, population=1).intervals
    assert (ended.score, ended.samples, ended.metrics["episodes"]) == (1.0, (1.0,) * 8, 8)
    assert broken.score == pytest.approx((8 * 1 + 2 * 10) / 10)
    assert (broken.samples, broken.metrics["episodes"]) == ((10.0, 10.0), 0)  # what the score took in, for the t-test
    assert ended.metrics["test"] in (1.0, 3.0, 6.0, 10.0, 15.0)  # it came back, after five steps at the latest


def test_fresh_episodes_take_no_more_environments_than_the_agent_has(monkeypatch):
    opened = []

    def made(name):
        opened.append(name)
        return environment(name)

    monkeypatch.setattr("warren.zoo.rl.agent.environment", made)
    state = CORRIDOR.network(environment(CORRIDOR.env)).state_dict()
    for count, wanted in ((30, 4), (3, 3)):
        opened.clear()
        assert CORRIDOR.returns(state, count).shape == (count,) and len(opened) == wanted


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        *(({name: 0}, f"{name}=0 must be at least 1") for name in ("environments", "steps", "held_out", "longest")),
        ({"width": 0}, "width=0 must be at least 1"),
        ({"discount": 1.01}, r"discount=1.01 must lie in \[0, 1\]"),
        ({"discount": float("nan")}, r"discount=nan must lie in \[0, 1\]"),
        ({"clip": 0.0}, "clip=0.0 must be above 0: use 0.5"),
        ({"value_cost": -0.5}, "value_cost=-0.5 must be at least 0 and finite: use 0"),
        ({"value_cost": float("inf")}, "value_cost=inf must be at least 0 and finite"),
        ({"reward_limit": 0.0}, "reward_limit=0.0 must be above 0: use 1.0, or None"),
        ({"plays": "well"}, "plays='well' must be one of 'greedy', 'sampled'"),
    ],
)
def test_fields_out_of_their_ranges_are_one_line(given, wanted):
    with pytest.raises(InvalidValue, match=wanted) as caught:
        ActorCritic(**given)
    assert "\n" not in str(caught.value)


def test_the_measured_presets_are_as_they_were():
    assert PRESETS["small"]().make(0) == ActorCritic()
    assert PRESETS["study"]().make(0) == ActorCritic()
    assert PRESETS["small"](None, "feudal").make(0) == Feudal()
    assert PRESETS["study"](None, "feudal").make(0) == Feudal(steps=500)  # 250 were less than an episode
    pytest.importorskip("minigrid")
    for world in ("MiniGrid-Empty-5x5-v0", "MiniGrid-DoorKey-5x5-v0"):
        assert PRESETS["small"](world).make(0) == ActorCritic(env=world, steps=500, plays="sampled")


def test_unreals_presets_are_as_they_were(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("vizdoom")
    pytest.importorskip("cv2")
    unreal = Unreal(env="VizdoomBasic-v1", environments=4, steps=500, reward_limit=1.0)
    assert PRESETS["small"](None, "unreal").make(0) == unreal
    assert PRESETS["study"](None, "unreal").make(0) == replace(unreal, steps=125)
    assert PRESETS["study"]("VizdoomMyWayHome-v1", "unreal").make(0).steps == 525  # 2,100 tics
    assert not list(tmp_path.iterdir())  # to ask how long an episode is starts no game


def test_intervals_of_presets_are_no_shorter_than_an_episode():
    long, longer, endless = (f"tests.zoo.rl.envs:warren-test/{name}-v0" for name in ("Long", "Longer", "Endless"))
    one = PRESETS["small"](longer).make(0)
    assert one.steps == one.longest == 30_000  # nor is what is held out cut before the environment would
    for agent in AGENTS:
        for preset in ("small", "study"):
            one = PRESETS[preset](long, agent).make(0)
            assert (one.steps, one.longest) == (3000, 27_000)
        for make in PRESETS.values():  # without a limit, what is held out is cut like what is trained on
            one = make(endless, agent).make(0)
            assert one.longest == one.steps < 100_000
    pytest.importorskip("minigrid")
    assert PRESETS["small"]("MiniGrid-DoorKey-8x8-v0").make(0).steps == 640


def test_kinds_of_environments_are_treated_alike_by_all_agents():
    for agent in AGENTS:
        own = 4 if agent == "unreal" else 8
        settings = {"SC2/MoveToBeacon": (4, 4, None), "ALE/Pong-v5": (own, 8, 1.0), "lab/level": (own, 8, 1.0)}
        for env, wanted in settings.items():
            one = PRESETS["small"](env, agent).make(0)
            assert (one.environments, one.held_out, one.reward_limit) == wanted
            assert one.longest == 27_000
            if agent == "a2c":
                assert one.plays == "sampled" and one.steps == (1000 if env.startswith("SC2/") else 2000)
            assert PRESETS["paper"](env, agent).make(0).reward_limit == one.reward_limit


def test_presets_can_be_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("vizdoom")  # UNREAL's own environment says how long an episode is
    pytest.importorskip("cv2")
    assert set(PRESETS) == {"small", "study", "paper"}
    for make in PRESETS.values():
        for agent in AGENTS:
            workload = make(None, agent)
            assert set(workload.usual) == set(workload.space)
            assert workload.make(3).split == 3
    names = [make(None, agent).name for make in PRESETS.values() for agent in AGENTS]
    assert len(set(names)) == 9


@pytest.mark.parametrize(
    ("agent", "members", "package"), [("a2c", 30, "ale_py"), ("unreal", 40, "vizdoom"), ("feudal", 80, "ale_py")]
)
def test_the_papers_agents_train(agent, members, package, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # ViZDoom leaves a folder where it runs
    pytest.importorskip(package)
    pytest.importorskip("cv2")
    paper = PRESETS["paper"](None, agent)
    one = paper.make(0)
    assert paper.population == members and one.environments * one.steps == 1_000_000 and one.reward_limit == 1.0
    if agent == "unreal":
        one = replace(one, env="VizdoomBasic-v1")  # as the paper's, with episodes of 75 steps at most
    short = replace(one, environments=2, steps=20, held_out=1)
    result = run(short, population=2, intervals=1, space=paper.space, strategy=paper.strategy)
    assert [row.status for row in result.intervals] == ["ok", "ok"]

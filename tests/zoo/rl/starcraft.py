"""A stand-in for PySC2, with what `warren.zoo.rl.starcraft` uses of it, in the forms that PySC2 4.0.0 has."""

from __future__ import annotations

import enum
import sys
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

import numpy as np


class Step(enum.IntEnum):
    FIRST = 0
    MID = 1
    LAST = 2


class TimeStep(NamedTuple):
    step_type: Step
    reward: int
    discount: float
    observation: dict

    def last(self):
        return self.step_type is Step.LAST


class Function:
    """Called, it gives what PySC2's functions do: a number and lists of arguments."""

    def __init__(self, number, name):
        self.id, self.name = number, name

    def __call__(self, *arguments):
        return (self.name, *arguments)


FUNCTIONS = SimpleNamespace(
    no_op=Function(0, "no_op"),
    select_army=Function(7, "select_army"),
    Attack_screen=Function(12, "Attack_screen"),
    Move_screen=Function(331, "Move_screen"),
)


class LaunchError(Exception):
    """As SC2LaunchError."""


class Game:
    """One marine and a beacon that it jumps to: an order within 6 pixels of the beacon brings 1, and moves the beacon.

    An enemy of 400 hit points stands by. A selection brings `bonus`, so that it is seen whether that is counted.

    `said` is written in order: what the game is made with, each step as (call, steps of the game), and that it closes.
    An episode is over after `length` steps of the game, by the game itself, or cut where `cut` is set.

    Attributes:
        army: Units of the agent; 0: orders are not available.
    """

    length = 40
    cut = False
    bonus = 0
    said: list

    def __init__(self, **given):
        self.said.append(given)
        self._rng = np.random.default_rng(given["random_seed"])
        self.army, self._selected = 1, False

    def reset(self):
        self._frames, self._selected = 0, False
        self._place()
        return (TimeStep(Step.FIRST, 0, 0.0, self._seen()),)

    def step(self, actions, step_mul=None):
        (call,) = actions
        self.said.append((call, step_mul))
        available = {one.name: one.id in self._seen()["available_actions"] for one in vars(FUNCTIONS).values()}
        assert available[call[0]], f"{call[0]} is not available now"
        reward = 0
        if call[0] == "select_army":
            self._selected = True
            reward = self.bonus
        elif call[0] != "no_op" and max(abs(np.subtract(call[2], self.beacon))) <= 6:
            reward = 1
            self._place()
        self._frames += step_mul
        over = self._frames >= self.length
        discount = 0.0 if over and not self.cut else 1.0
        return (TimeStep(Step.LAST if over else Step.MID, reward, discount, self._seen()),)

    def close(self):
        self.said.append("closed")

    def _place(self):
        self.beacon = tuple(int(one) for one in self._rng.integers(6, 78, size=2))

    def _seen(self):
        screen = {
            name: np.zeros((84, 84), np.int32)
            for name in ("player_relative", "selected", "unit_hit_points", "unit_density")
        }
        x, y = self.beacon
        screen["player_relative"][y - 3 : y + 4, x - 3 : x + 4] = 3
        screen["player_relative"][80, 80], screen["unit_hit_points"][80, 80] = 4, 400
        if self.army:
            screen["player_relative"][40:42, 10:12] = 1
            screen["unit_hit_points"][40:42, 10:12] = 45
            screen["selected"][40:42, 10:12] = self._selected
        orders = [12, 331] if self._selected and self.army else []
        return {"feature_screen": screen, "available_actions": np.array([0, *([7] if self.army else []), *orders])}


def installed(monkeypatch, tmp_path, **attributes):
    """Put the stand-in where imports find it, with the game in a folder that `SC2PATH` names.

    Args:
        monkeypatch: Pytest's.
        tmp_path: Where the game is.
        attributes: Of the game, such as ``cut=True``.

    Returns:
        The class of the game.
    """
    game = type("SC2Env", (Game,), {"said": [], **attributes})
    (tmp_path / "Maps").mkdir()
    (tmp_path / "Maps" / "MoveToBeacon.SC2Map").touch()
    monkeypatch.setenv("SC2PATH", str(tmp_path))

    def get(name):
        def data(folder):
            path = folder / "Maps" / f"{name}.SC2Map"
            if not path.exists():
                raise ValueError(f"Map {path.name} not found in {path.parent}.")

        return SimpleNamespace(data=data)

    def configs():
        assert flags.is_parsed()  # as absl asks for
        if not tmp_path.exists():
            raise FileNotFoundError(2, "No such file or directory", str(tmp_path / "Versions"))
        return tmp_path

    class Flags:
        parsed = False

        def is_parsed(self):
            return self.parsed

        def mark_as_parsed(self):
            self.parsed = True

    flags = Flags()
    modules = {
        "absl": {},
        "absl.flags": {"FLAGS": flags},
        "pysc2": {},
        "pysc2.maps": {"get": get},
        "pysc2.run_configs": {"get": configs},
        "pysc2.lib": {},
        "pysc2.lib.sc_process": {"SC2LaunchError": LaunchError},
        "pysc2.lib.actions": {"FUNCTIONS": FUNCTIONS},
        "pysc2.env": {},
        "pysc2.env.sc2_env": {
            "SC2Env": game,
            "Agent": lambda race: ("agent", race),
            "Race": SimpleNamespace(terran="terran"),
            "Dimensions": lambda **sizes: sizes,
            "AgentInterfaceFormat": lambda **given: given,
        },
    }
    for name, members in modules.items():
        module = ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
    return game

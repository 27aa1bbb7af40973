"""StarCraft II's mini-games as environments, where the package `pysc2`, the game and its maps are installed."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from warren.errors import InvalidValue, MissingExtra

SIDE = 84
"""Of an image, in pixels; it shows 24 x 24 of the map's units, PySC2's default."""

GRID = 8
"""Places along a side that an order can name, each the middle of a cell of 3 x 3 of the map's units."""

FRAMES = 8
"""Steps of the game that an action lasts (Vinyals et al. 2017)."""

GAMES = ("MoveToBeacon", "CollectMineralShards", "DefeatRoaches", "DefeatZerglingsAndBanelings")
"""The mini-games that can be played by sending the whole army to places of one screen."""

PLANES = ("own", "neutral", "enemy", "hit points")
"""Of an image: whose unit is seen, 255 where it is; and its hit points, 255 at the most."""

OWN, NEUTRAL, ENEMY = 1, 3, 4
"""As `player_relative` says whose a unit is."""


class MiniGame:
    """A mini-game, with the methods and spaces of Gymnasium's environments that the agents use.

    The actions of Vinyals et al. (2017) name a function, a place on the screen and more. Here one number is an order to
    the whole army: 0 none, then a move to each of `GRID` x `GRID` places, row by row from the upper left, then an
    attack on the way to each. Where some of the army on the screen is not selected, it is selected first, which takes
    one step of the game more.

    The game takes a seed only when it is started, so that `reset` with one starts it anew.

    Args:
        name: ``SC2/GAME``, one of `GAMES`.

    Raises:
        InvalidValue: There is no such mini-game, or it needs other actions.
        MissingExtra: `pysc2`, the game or the map is not installed.
    """

    def __init__(self, name: str) -> None:
        from gymnasium.spaces import Box, Discrete

        self._map = name.partition("/")[2]
        if self._map not in GAMES:
            raise InvalidValue(
                f"env={name!r} is no mini-game that is played by moving an army on one screen; use one of "
                + ", ".join(f"SC2/{game}" for game in GAMES)
            )
        self._sc2, functions = _installed(name, self._map)
        self._none, self._select = functions.no_op, functions.select_army
        self._orders = (functions.Move_screen, functions.Attack_screen)
        self._game: Any = None
        self.observation_space = Box(0, 255, (len(PLANES), SIDE, SIDE), np.uint8)
        self.action_space: Any = Discrete(1 + len(self._orders) * GRID**2)

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; without a seed, in the game that was started last."""
        if seed is not None or self._game is None:
            self.close()
            self._game = self._started(seed or 0)
        (self._now,) = self._game.reset()
        return self._image(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Give an order, and let the game go on for `FRAMES` steps of its own."""
        reward = 0.0
        if self._scattered() and self._can(self._select):
            reward += self._act(self._select("select"), 1)
        if not self._now.last():
            reward += self._act(self._call(action), FRAMES)
        over = bool(self._now.last())
        # PySC2's discount is 0 where the game itself has ended, and 1 where a limit of PySC2's cut it.
        ended = over and float(self._now.discount) == 0.0
        return self._image(), reward, ended, over and not ended, {}

    def close(self) -> None:
        """End the game's process."""
        if self._game is not None:
            self._game.close()
            self._game = None

    def _started(self, seed: int) -> Any:
        sc2 = self._sc2
        seen = sc2.Dimensions(screen=SIDE, minimap=SIDE)
        return sc2.SC2Env(
            map_name=self._map,
            players=[sc2.Agent(sc2.Race.terran)],
            agent_interface_format=sc2.AgentInterfaceFormat(feature_dimensions=seen),
            step_mul=FRAMES,
            random_seed=seed,
        )

    def _act(self, call: Any, frames: int) -> float:
        (self._now,) = self._game.step([call], step_mul=frames)
        return float(self._now.reward)

    def _call(self, action: int) -> Any:
        if action == 0:
            return self._none()
        kind, place = divmod(int(action) - 1, GRID**2)
        order = self._orders[kind]
        if not self._can(order):  # there is no army now
            return self._none()
        row, column = divmod(place, GRID)
        return order("now", (_middle(column), _middle(row)))

    def _can(self, function: Any) -> bool:
        return int(function.id) in {int(one) for one in self._now.observation["available_actions"]}

    def _scattered(self) -> bool:
        screen = self._now.observation["feature_screen"]
        own = np.asarray(screen["player_relative"]) == OWN
        return not self._can(self._orders[0]) or bool(np.any(own & (np.asarray(screen["selected"]) == 0)))

    def _image(self) -> Any:
        screen = self._now.observation["feature_screen"]
        whose = np.asarray(screen["player_relative"])
        units = [np.where(whose == one, 255, 0) for one in (OWN, NEUTRAL, ENEMY)]
        return np.stack([*units, np.clip(np.asarray(screen["unit_hit_points"]), 0, 255)]).astype(np.uint8)


def _middle(cell: int) -> int:
    return (2 * cell + 1) * SIDE // (2 * GRID)


def _installed(name: str, game: str) -> tuple[Any, Any]:
    """PySC2's module of environments and its functions, where a mini-game can be started."""
    try:
        flags = importlib.import_module("absl.flags").FLAGS
        maps, configs, process, sc2, functions = (
            importlib.import_module(f"pysc2.{module}")
            for module in ("maps", "run_configs", "lib.sc_process", "env.sc2_env", "lib.actions")
        )
    except ModuleNotFoundError:
        raise MissingExtra(f'env={name!r} needs PySC2: pip install "warren[starcraft]"') from None
    except (ImportError, TypeError) as error:  # a newer Python or protobuf than it was made for is a TypeError in it
        raise MissingExtra(
            f"env={name!r} needs PySC2, which fails to load here ({_line(error)}); its release 4.0.0 needs "
            "Python 3.10 or older and protobuf<3.21"
        ) from None
    if not flags.is_parsed():  # PySC2 reads its own command line's flags, here at their defaults
        flags.mark_as_parsed()
    try:
        maps.get(game).data(configs.get())
    except (OSError, ValueError, process.SC2LaunchError) as error:
        raise MissingExtra(
            f"env={name!r} needs StarCraft II with the maps of the mini-games ({_line(error)}); both are linked from "
            "github.com/google-deepmind/pysc2: unpack the maps in the game's folder Maps, and set SC2PATH to that of "
            "the game"
        ) from None
    return sc2, functions.FUNCTIONS


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")

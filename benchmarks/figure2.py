"""Figure 2 of the paper over 50 seeds, asynchronous and synchronous on one worker: does PBT climb the toy's hill?"""

from __future__ import annotations

import argparse

import numpy as np
from _common import save

from warren.zoo.toy.figure2 import PANELS, run_panel
from warren.zoo.toy.tasks import PEAK


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    seeds = range(parser.parse_args().seeds)

    numbers: dict[str, dict[str, dict[str, float]]] = {}
    best: dict[tuple[str, str], np.ndarray] = {}
    print(f"Figure 2, seeds 0 to {len(seeds) - 1}: Q of the better member after 200 steps, regret = {PEAK} - Q\n")
    print(
        f"{'':<14}{'panel':<14}{'median Q':>10}{'10 % Q':>10}{'lowest Q':>10}{'median regret':>15}{'90 % regret':>13}"
    )
    for mode in ("asynchronous", "synchronous"):
        for panel in PANELS:
            found = np.array([run_panel(panel, seed, synchronous=mode == "synchronous").best for seed in seeds])
            best[mode, panel] = found
            median, tenth = float(np.median(found)), float(np.percentile(found, 10))
            numbers.setdefault(mode, {})[panel] = {
                "median": median,
                "percentile_10": tenth,
                "lowest": float(found.min()),
                "median_regret": PEAK - median,
            }
            print(
                f"{mode:<14}{panel:<14}{median:>10.5f}{tenth:>10.5f}{found.min():>10.5f}{PEAK - median:>15.2e}"
                f"{PEAK - tenth:>13.2e}"
            )
    print()
    held = []
    for mode in numbers:
        both, explore, grid = (best[mode, panel] for panel in ("both", "explore only", "grid"))
        wins = float(np.mean(both > explore))
        numbers[mode]["both"]["beats_explore_only"] = wins
        for said, holds in (
            (f"median best Q {np.median(both):.5f} >= 1.195", np.median(both) >= 1.195),
            (f"10th percentile {np.percentile(both, 10):.5f} >= 1.185", np.percentile(both, 10) >= 1.185),
            (f"grid ends at {grid[0]:.5f} = 0.38975 in every seed", bool(np.all(np.round(grid, 5) == 0.38975))),
            (f"both beats explore only in {100 * wins:.0f} % >= 95 % of seeds", wins >= 0.95),
        ):
            held.append(bool(holds))
            print(f"{mode:<14}{said}: {'holds' if holds else 'DOES NOT HOLD'}")
    save("figure2", {"seeds": len(seeds), "holds": all(held), **numbers})
    return 0 if all(held) else 1


if __name__ == "__main__":
    raise SystemExit(main())

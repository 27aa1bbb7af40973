"""What states cost in memory: publishing a large one, and loading a donor's into live objects."""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _common import save, show

PUBLISH = """
import resource, sys, time
import numpy as np
from warren.checkpoints import LocalCheckpoints
from warren.state import encode
size = int(sys.argv[1])
parts = [np.full(size // 8 // 16, float(i)) for i in range(16)]
start = time.perf_counter()
LocalCheckpoints(sys.argv[2]).publish(encode({"parts": parts}), "token")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, time.perf_counter() - start)
"""

LOAD = """
import resource, sys, time
import torch
from warren.checkpoints import LocalCheckpoints
from warren.state import adapt, decode, encode
size, device = int(sys.argv[1]), sys.argv[3]
net = torch.nn.ParameterList([torch.ones(size // 4 // 16 // 2, device=device) for _ in range(16)])
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
for p in net: p.grad = torch.ones_like(p)
optimizer.step(); optimizer.zero_grad(set_to_none=True)
adapters = [adapt("net", net), adapt("optimizer", optimizer)]
store = LocalCheckpoints(sys.argv[2])
saved = store.publish(encode({"net": adapters[0].capture(), "optimizer": adapters[1].capture()}), "token")
cuda = device == "cuda"
if cuda: torch.cuda.synchronize(); torch.cuda.reset_peak_memory_stats()
before = torch.cuda.memory_allocated() if cuda else anonymous() if (anonymous := lambda: int(
    [l for l in open("/proc/self/status") if l.startswith("RssAnon")][0].split()[1]) * 1024) else 0
start = time.perf_counter()
tree = decode(store.load(saved.name, saved.digest))
adapters[0].restore(tree["net"]); adapters[1].restore(tree["optimizer"])
if cuda: torch.cuda.synchronize()
took = time.perf_counter() - start
after = torch.cuda.max_memory_allocated() if cuda else anonymous()
print(after - before, took)
"""


def child(code: str, *arguments: Any) -> tuple[float, float]:
    """Run a measurement in a process of its own, so that its peak is its own."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    first, second = done.stdout.split()
    return float(first), float(second)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1_000_000_000, help="bytes of the state")
    parser.add_argument("--folder", help="where the checkpoints are written (default: a temporary folder)")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        start = time.perf_counter()
        base, _ = child(PUBLISH, 16_000, Path(name) / "a")
        peak, took = child(PUBLISH, options.size, Path(name) / "b")
        results["publish"] = {"size": options.size, "ratio": (peak - base) / options.size, "seconds": took}
        show(
            "Publishing a state on the host: peak memory over that of a tiny one, in sizes of the state",
            ("state", "peak", "took"),
            [(f"{options.size / 1e9:g} GB", f"{(peak - base) / options.size:.3f}", f"{took:.2f} s")],
        )
        try:
            import torch
        except ImportError:
            print("\ntorch is not installed: loading is not measured")
        else:
            devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
            rows = []
            for device in devices:
                added, took = child(LOAD, options.size, Path(name) / device, device)
                results[f"load_{device}"] = {"added": added, "ratio": added / options.size, "seconds": took}
                rows.append((device, f"{options.size / 1e9:g} GB", f"{added / options.size:.3f}", f"{took:.2f} s"))
            show(
                "Loading a donor's weights and momenta into live objects: memory added on the device, in sizes",
                ("device", "state", "added", "took"), rows,
            )  # fmt: skip
            if "cuda" not in devices:
                print("\nno GPU here: on a GPU the same command measures its memory")
        print(
            f"\n{time.perf_counter() - start:.0f} s, peak of this process "
            f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB"
        )
    save("memory", results)


if __name__ == "__main__":
    main()

"""Side by side with Ray Tune's and Syne Tune's PBT and with bare loops: the same toy and the same digits job, one run.

Every figure is the wall time of a whole command, the start of Python in it. Each peer has a virtual environment of its
own under build/peers, which is made where it is missing. All commands have the same two CPUs. First each mode of a peer
runs once; the one that was faster is then measured in turn with the others.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _common import compiled, save, show

HERE = Path(__file__).parent
SCRIPTS = HERE / "peers"
ROOT = HERE.parent
NEEDED = {
    "ray": ("ray[tune]", "numpy", "scikit-learn"),
    "syne": ("syne-tune[basic]", "numpy", "scikit-learn"),
}
TOLD = {"ray": ("ray",), "syne": ("syne-tune",), "warren": ("warren", "sqlalchemy")}
CPUS = 2
MISSING = 4
"""Exit code of a script whose mode is not there (yet)."""

NOTES = (
    "All: two CPUs, one thread for each process that trains, no dashboard, result files, callbacks or log output; "
    "results go to a temporary folder, which is removed. PBT decides after each report; a quarter at both ends "
    "(0.2 x 16 is rounded to 3 by warren and to 4 by the others); hyperparameters are drawn anew with probability "
    "0.25, else multiplied by 0.8 or 1.2, inside the same bounds; each report comes with a checkpoint.",
    "Ray Tune: reuse_actors=True, no logger callbacks, verbose=0, the experiment's own state written at the end only, "
    "4 checkpoints kept of a trial (with fewer, its PBT may lose a donor's). Modes: function API or class Trainable; "
    "asynchronous or synchronous; slots: two trials at a time, the others paused; all: an actor for each trial all "
    "the time, which share the CPUs. An exploit takes over the donor's iteration, so asynchronous runs differ a "
    "little in their number of reports.",
    "Syne Tune: LocalBackend, asked for news each 0.02 s (its default is 5 s), callbacks=[], save_tuner=False. It "
    "starts a process for each trial and for each exploit, and trials do not wait for decisions: what is quick is "
    "over before it is replaced. It ends after as many reports as the others make. slots: two trials at a time, so "
    "that it compares two; all: as many as there are members.",
    "warren: the default settings of its engines and stores. sqlite: one durable transaction (fsync) for each "
    "report. late: the training function imports PyTorch, so only workers do; early: the file imports it at its "
    "top, so that the process which starts the workers does so as well, before them.",
    "bare: plain processes that share the members, each for all its epochs at once; no PBT, checkpoints or record.",
)


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to run a job.

    Args:
        job: ``toy`` or ``digits``.
        who: Whose it is; a peer's modes are tried, and the faster one is measured.
        mode: Which of its modes.
    """

    job: str
    who: str
    mode: str

    @property
    def name(self) -> str:
        """How it is called in tables and results."""
        return f"{self.who} {self.mode}"

    def command(self, out: Path) -> list[str]:
        """What is run."""
        if self.who == "bare":
            return [sys.executable, str(SCRIPTS / "bare.py"), self.mode.split()[0], str(out)]
        script = {"ray": "ray_tune.py", "syne": "syne.py", "warren": "warren_run.py"}[self.who]
        return [str(python(self.who)), str(SCRIPTS / script), self.job, self.mode, str(out)]


@dataclass(kw_only=True)
class Measured:
    """What came of a contender.

    Attributes:
        walls: Seconds of each run.
        told: What its last run told of itself.
        failed: Why it has no figure, or None.
    """

    walls: list[float] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)
    failed: str | None = None

    @property
    def wall(self) -> float:
        return statistics.median(self.walls)


RAY = tuple(f"{api}-{pace}-slots" for api in ("class", "function") for pace in ("async", "sync"))
CONTENDERS = {
    # One actor for each of 16 trials on two CPUs took Ray Tune several times as long as two at a time.
    "toy": {
        "warren": ("sqlite", "memory", "vectorised"),
        "ray": RAY,
        "syne": ("slots", "all"),
    },
    "digits": {
        "bare": ("1 process", "2 processes"),
        "warren": ("late", "early"),
        "ray": (*RAY, "class-async-all"),
        "syne": ("slots", "all"),
    },
}
RIVALS = ("ray", "syne")
"""Those of whose modes only the fastest counts."""


def python(who: str) -> Path:
    """The interpreter of somebody's environment."""
    return Path(sys.executable) if who == "warren" else ROOT / "build" / "peers" / who / "bin" / "python"


def environment(who: str) -> None:
    """Make a peer's virtual environment where it is missing."""
    folder = python(who).parent.parent
    stamp = folder / "installed"
    torch = ROOT / "requirements" / "torch.txt"
    key = json.dumps([NEEDED[who], torch.read_text(), sys.version])
    if stamp.exists() and stamp.read_text() == key:
        return
    print(f"making {folder.relative_to(ROOT)}: {', '.join(NEEDED[who])} and PyTorch", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    pip = [str(python(who)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # PyTorch first, so that a range of somebody else's does not bring another build of it.
    for wanted in (["-r", str(torch)], list(NEEDED[who])):
        done = subprocess.run([*pip, *wanted], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{who}: pip install {' '.join(wanted)} failed:\n{done.stderr[-2000:]}")
    stamp.write_text(key)


def versions(who: str) -> dict[str, str]:
    """What is installed where somebody runs."""
    names = [*TOLD[who], "torch", "numpy", "scikit-learn"]
    code = f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {names!r}}}))"
    if who == "warren":
        return {name: importlib.metadata.version(name) for name in names}
    found = subprocess.run([str(python(who)), "-c", code], check=True, capture_output=True, text=True)
    return {"python": sys.version.split()[0], **json.loads(found.stdout)}


def end(process: subprocess.Popen[bytes]) -> None:
    """End a command that takes too long, with all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(15)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        return


def run(contender: Contender, limit: float, found: Measured) -> None:
    """Run it once, and keep what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        out, log = Path(folder) / "out.json", Path(folder) / "log"
        # The cores belong to processes that train side by side: none of them may use both.
        environ = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        with log.open("wb") as file:
            start = time.monotonic()
            process = subprocess.Popen(
                contender.command(out), stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environ,
                start_new_session=True,
            )  # fmt: skip
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                end(process)
                code = None
            except BaseException:
                end(process)
                raise
            wall = time.monotonic() - start
        if code is None:
            found.failed = f"ended after {limit:g} s"
        elif code == MISSING:
            found.failed = "not there"
        elif code != 0 or not out.exists():
            last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["nothing was said"]
            found.failed = f"exit {code}: {last[0][:300]}"
        else:
            found.walls.append(wall)
            found.told = json.loads(out.read_text())
    said = found.failed or f"{found.walls[-1]:.2f} s"
    print(f"  {contender.job}, {contender.name}: {said}", flush=True)


def chosen(tried: dict[Contender, Measured]) -> list[Contender]:
    """Those to measure: warren's and the bare ones, and of each rival's modes the fastest."""
    good = {contender: found for contender, found in tried.items() if found.walls}
    keep = [contender for contender in good if contender.who not in RIVALS]
    for who in RIVALS:
        own = [contender for contender in good if contender.who == who]
        keep += sorted(own, key=lambda contender: good[contender].wall)[:1]
    return keep


def measure(job: str, options: argparse.Namespace) -> tuple[dict[Contender, Measured], list[Contender]]:
    """Try every mode once, then measure the chosen ones in turn."""
    tried = {
        Contender(job=job, who=who, mode=mode): Measured()
        for who, modes in CONTENDERS[job].items()
        for mode in modes
        if not (options.only and who in RIVALS) or mode in options.only
    }
    print(f"\n{job}: every mode once")
    for contender, found in tried.items():
        run(contender, options.limit, found)
    keep = chosen(tried)
    # The first run of each filled the caches of the disk and wrote bytecode: it does not count where there are more.
    repeated = [contender for contender in keep if tried[contender].wall < options.under]
    for contender in repeated if options.repeats else ():
        tried[contender].walls.clear()
    for turn in range(options.repeats):
        print(f"{job}: turn {turn + 1} of {options.repeats}")
        for contender in repeated:
            run(contender, options.limit, tried[contender])
    return tried, keep


def table(job: str, tried: dict[Contender, Measured], keep: Sequence[Contender]) -> None:
    rows = []
    for contender, found in tried.items():
        if found.failed == "not there":
            continue
        if not found.walls:
            rows.append((contender.name, "", found.failed, "", "", "", "", ""))
            continue
        told = found.told
        accuracy = told.get("accuracy")
        rows.append(
            (
                contender.name, "*" if contender in keep else "", f"{found.wall:.2f} s",
                f"{min(found.walls):.2f} - {max(found.walls):.2f} s", len(found.walls), told["reports"],
                told["exploits"], f"{told['score']:.4f}" + ("" if accuracy is None else f" ({100 * accuracy:.1f} %)"),
            )
        )  # fmt: skip
    words = {
        "toy": "The toy, 16 members x 200 reports (score: Q, 1.2 is the most)",
        "digits": "The digits, MLP 64-128-10 in PyTorch, 8 members x 30 epochs, 2 at a time (score: - loss, accuracy)",
    }
    show(
        f"{words[job]}; * is what counts",
        ("who", "", "median", "range", "runs", "reports", "exploits", "best score"), rows,
    )  # fmt: skip


def targets(job: str, tried: dict[Contender, Measured], keep: Sequence[Contender]) -> list[dict[str, Any]]:
    """How warren stands beside the others: what is compared, what came out, what is wanted."""
    walls = {f"{c.who} {c.mode}" if c.who not in RIVALS else c.who: tried[c].wall for c in keep}
    wanted = {
        "toy": (
            ("ray", "warren sqlite", "at least", 6.0),
            ("ray", "warren vectorised", "at least", 10.0),
            ("syne", "warren sqlite", "at least", None),
            ("warren memory", None, "at most", 1.0),
        ),
        "digits": (
            ("warren late", "bare 2 processes", "at most", 1.3),
            ("ray", "warren late", "at least", 5.0),
            ("syne", "warren late", "at least", 5.0),
        ),
    }
    found = []
    for one, other, side, bound in wanted[job]:
        if one not in walls or (other is not None and other not in walls):
            continue
        value = walls[one] / (1.0 if other is None else walls[other])
        met = None if bound is None else (value >= bound if side == "at least" else value <= bound)
        found.append({"job": job, "of": one, "over": other, "value": value, "wanted": side, "bound": bound, "met": met})
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", nargs="+", choices=tuple(CONTENDERS), default=list(CONTENDERS), help="which jobs")
    parser.add_argument("--repeats", type=int, default=3, help="turns after the first, in which modes are tried")
    parser.add_argument("--under", type=float, default=60.0, help="what took longer than so many seconds runs once")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds after which a command is ended")
    parser.add_argument("--only", nargs="+", help="of the peers' modes these only, for example class-async-slots all")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the command in progress is ended too

    compiled()
    for who in NEEDED:
        environment(who)
    if sys.platform == "linux":  # elsewhere every command has all cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CPUS])
    results: dict[str, Any] = {"versions": {who: versions(who) for who in TOLD}, "notes": NOTES, "runs": []}
    compared = []
    for job in options.jobs:
        tried, keep = measure(job, options)
        table(job, tried, keep)
        compared += targets(job, tried, keep)
        results["runs"] += [
            {
                "job": job, "who": contender.who, "mode": contender.mode, "counts": contender in keep,
                "median": found.wall if found.walls else None, "walls": found.walls, "failed": found.failed,
                **found.told,
            }
            for contender, found in tried.items()
        ]  # fmt: skip
    results["compared"] = compared
    show(
        "warren beside them",
        ("what", "is", "wanted", "met"),
        [
            (
                f"{one['job']}: {one['of']}" + ("" if one["over"] is None else f" / {one['over']}"),
                f"{one['value']:.2f}" + (" s" if one["over"] is None else ""),
                "-" if one["bound"] is None else f"{one['wanted']} {one['bound']:g}",
                {True: "yes", False: "NO", None: "-"}[one["met"]],
            )
            for one in compared
        ],
    )
    print("\n" + "\n".join(f"* {note}" for note in NOTES))
    for who, found in results["versions"].items():
        print(f"{who}: " + ", ".join(f"{name} {version}" for name, version in found.items()))
    save("peers", results)


if __name__ == "__main__":
    main()

"""What every benchmark writes beside its numbers: versions and machine."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

PACKAGES = ("warren", "numpy", "torch", "scikit-learn", "sqlalchemy")


def machine() -> dict[str, Any]:
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def write(name: str, numbers: dict[str, Any]) -> None:
    """Write ``benchmarks/results/NAME.json``, and say so."""
    path = Path(__file__).parent / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), **numbers}, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten: {path}")

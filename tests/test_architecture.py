"""What the floors promise and import-linter cannot see (the contracts are in pyproject.toml)."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parent.parent / "src" / "warren"
PURE_ROOMS = ("space", "population", "strategies")

IMPURE_MODULES = frozenset(
    # clocks, generators
    ("datetime", "random", "secrets", "time", "uuid")
    # input and output
    + ("io", "logging", "os", "pathlib", "shutil", "socket", "sqlite3", "tempfile", "urllib")
    # other threads of work
    + ("asyncio", "multiprocessing", "subprocess", "threading")
)
IMPURE_CALLS = frozenset({"breakpoint", "input", "open", "print"})
RANDOM_TYPES = frozenset({"BitGenerator", "Generator", "Philox", "SeedSequence"})
"""What pure code may take from `numpy.random`: these hold their state, all else is global or seeds itself."""
SEEDED_BY_CHANCE_WITHOUT_ARGUMENTS = frozenset({"Philox", "SeedSequence"})


def impurities(source: str) -> Iterator[str]:
    """Each way in which the source reaches out of its arguments, with its line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in IMPURE_MODULES or alias.name == "numpy.random":
                    yield f"line {node.lineno}: import {alias.name}"
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            if node.module.split(".")[0] in IMPURE_MODULES:
                yield f"line {node.lineno}: from {node.module} import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if name == "numpy.random" or (node.module == "numpy.random" and alias.name not in RANDOM_TYPES):
                    yield f"line {node.lineno}: from {node.module} import {alias.name}"
        elif isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            if name.startswith(("np.random.", "numpy.random.")) and name.split(".")[2] not in RANDOM_TYPES:
                yield f"line {node.lineno}: {name}"
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in IMPURE_CALLS:
                yield f"line {node.lineno}: {called}()"
            if called.split(".")[-1] in SEEDED_BY_CHANCE_WITHOUT_ARGUMENTS and not (node.args or node.keywords):
                yield f"line {node.lineno}: {called}() without a key"


PURE_FILES = sorted(path for room in PURE_ROOMS for path in (HOUSE / room).rglob("*.py"))


@pytest.mark.parametrize("path", PURE_FILES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_pure_rooms_reach_for_nothing(path: Path) -> None:
    assert list(impurities(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("room", PURE_ROOMS)
def test_every_pure_room_is_read(room: str) -> None:
    assert any(room in path.parts for path in PURE_FILES)


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import os.path",
        "from datetime import datetime",
        "def later():\n    import random",
        "import numpy.random",
        "from numpy import random",
        "from numpy.random import default_rng",
        "np.random.seed(0)",
        "np.random.default_rng()",
        "numpy.random.Philox()",
        "Philox()",
        "open('x')",
    ],
)
def test_the_reader_finds(source: str) -> None:
    assert list(impurities(source))


@pytest.mark.parametrize(
    "source",
    [
        "import math",
        "from numpy.random import Generator, Philox",
        "np.random.Generator(np.random.Philox(key=7))",
        "rng.random()",
        "from warren.space import Float",
        "from . import random",
    ],
)
def test_the_reader_allows(source: str) -> None:
    assert list(impurities(source)) == []


HEAVY = ("cloudpickle", "jax", "plotly", "rich", "sklearn", "sqlalchemy", "torch", "typer")


def test_import_warren_is_light() -> None:
    """`import warren` is lazy: nothing heavy is loaded until a name that needs it is used."""
    code = f"import sys, warren; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

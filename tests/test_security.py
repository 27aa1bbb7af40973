"""What no file of the house may do with what it reads: run it, format it into SQL, or unpickle it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parent.parent / "src" / "warren"
FILES = sorted(path for path in HOUSE.rglob("*.py") if "zoo" not in path.relative_to(HOUSE).parts)
RUNS_WHAT_IT_READS = frozenset({"pickle", "marshal", "shelve", "dill", "joblib", "yaml"})
PARCEL = frozenset({"engines/worker.py", "engines/child.py"})
"""Where a training function without a name travels from the user's own process to its own workers over a pipe."""


def dangers(source: str, *, parcel: bool = False) -> Iterator[str]:
    """Each place in the source that could run what it reads, or puts text together for a database."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [str(node.module)]
            for name in names:
                if name.split(".")[0] in RUNS_WHAT_IT_READS or (name == "cloudpickle" and not parcel):
                    yield f"line {node.lineno}: import {name}"
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("eval", "exec", "torch.load", "np.load", "numpy.load"):
                yield f"line {node.lineno}: {called}()"
            if called.split(".")[-1] in ("execute", "executemany", "executescript", "exec_driver_sql", "text"):
                for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                    if any(_put_together(part) for part in ast.walk(argument)):
                        yield f"line {node.lineno}: {called}() of a text that is put together"


def _put_together(node: ast.AST) -> bool:
    if isinstance(node, ast.JoinedStr):
        return True
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mod, ast.Add)):
        return any(isinstance(side, ast.Constant) and isinstance(side.value, str) for side in (node.left, node.right))
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_nothing_that_was_read_is_run_or_formatted_into_sql(path: Path) -> None:
    parcel = path.relative_to(HOUSE).as_posix() in PARCEL
    assert list(dangers(path.read_text(), parcel=parcel)) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from marshal import loads",
        "def f():\n    import cloudpickle",
        "eval(x)",
        "torch.load(path)",
        "cursor.execute(f'SELECT {x}')",
        "cursor.execute('SELECT ' + x)",
        "cursor.execute('SELECT %s' % x)",
        "text('SELECT {}'.format(x))",
    ],
)
def test_the_reader_finds(source: str) -> None:
    assert list(dangers(source))


def test_the_reader_allows_parameters() -> None:
    assert list(dangers("cursor.execute('SELECT x FROM t WHERE y = ?', (y,))")) == []


def test_a_record_cannot_make_a_worker_unpickle(tmp_path: Path) -> None:
    """A parcel comes from the parent process only: a run whose record names one is refused from its store alone."""
    import warren
    from warren.errors import RunMismatch

    def train(slot: warren.Slot) -> None:
        for member in slot:
            member.state = {"x": 1.0}
            member.report(1.0)

    store = tmp_path / "run.db"
    warren.run(
        train, space={"lr": warren.Float(0.1, 1.0)}, goal="max", population=1, intervals=1, store=store, workers=1
    )
    with pytest.raises(RunMismatch, match="notebook or inside another function"):
        warren.resume(store)
    with pytest.raises(RunMismatch, match="notebook or inside another function"):
        warren.join(store)

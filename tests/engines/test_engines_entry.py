from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from warren.engines import Entry, Loaded, entry_of
from warren.engines.entry import LOADED_AS, file_digest
from warren.errors import InvalidType, InvalidValue, UnknownName
from warren.strategies import PBT
from warren.testing import engines as tasks
from warren.training import Task
from warren.values import dump


def train(slot: Any) -> None: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Descent:
    """A training function as a value."""

    steps: Any
    inner: Descent | None = None
    slopes: Any = dataclasses.field(init=False, compare=False)  # follows from the others, and cannot be recorded

    def __post_init__(self) -> None:
        object.__setattr__(self, "slopes", np.arange(3))

    def __call__(self, slot: Any) -> None: ...

    def task(self) -> Task:
        return Task(init=self.init, train_interval=self.train, evaluate=self.train)

    def init(self, *given: Any) -> Any: ...

    def train(self, *given: Any) -> Any: ...


NAMED = Descent(steps=7)


@dataclasses.dataclass
class Changeable:
    steps: int = 1

    def __call__(self, slot: Any) -> None: ...


def made_inside() -> Any:
    def train(slot: Any) -> None: ...

    return train


SCRIPT = """
import warren
from dataclasses import dataclass

loaded = __name__

@dataclass(frozen=True)
class Own:
    x: int = 1

    @dataclass(frozen=True)
    class Inside:
        y: int = 2

def train(slot):
    return helper()

def helper():
    return loaded

task = warren.Task(init=train, train_interval=train, evaluate=train)
number = 3

if __name__ == "__main__":
    raise SystemExit("the script ran")
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = tmp_path / "my script.py"
    path.write_text(SCRIPT)
    return path


def module_of(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


# -- where a function is ----------------------------------------------------------------------------------------------


def test_a_function_of_a_module() -> None:
    entry = entry_of(train)
    assert (entry.kind, entry.name, entry.module) == ("module", "train", __name__)
    assert entry.file == str(Path(__file__))
    assert Path(entry.path) / Path(*__name__.split(".")).with_suffix(".py") == Path(__file__)
    assert entry.digest == hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    assert Loaded(entry).train() is train


def test_a_task_of_a_module() -> None:
    """It stands where its functions do, and not where its class does."""
    entry = entry_of(tasks.QUADRATIC)
    assert (entry.kind, entry.name, entry.module) == ("module", "QUADRATIC", "warren.testing.engines")
    assert Loaded(entry).train() is tasks.QUADRATIC


def test_what_has_no_name_travels_as_a_parcel() -> None:
    for thing in (
        made_inside(),
        lambda slot: None,
        functools.partial(train),
        Task(init=train, train_interval=made_inside(), evaluate=train),
        Changeable(),
        Descent(steps=[1, 2]),  # type: ignore[arg-type]  # comes back as a tuple
        Descent(steps=made_inside()),
    ):
        assert entry_of(thing) == Entry(kind="parcel")


def test_a_value_is_made_anew_from_its_fields() -> None:
    for thing, name in (
        (Descent(steps=3), "Descent"),
        (Descent(steps=3, inner=Descent(steps=4)).task(), "Descent"),
        (Task(init=train, train_interval=train, evaluate=train), "Task"),
    ):
        entry = entry_of(thing)
        assert (entry.kind, entry.name, entry.module) == ("module", name, __name__)
        kept = Entry.load(json.loads(json.dumps(dump(entry))))
        assert kept == entry
        made = Loaded(kept).train()
        assert dump(made) == dump(thing)
        assert made is not thing


def test_a_value_whose_class_stands_in_a_module_is_known_by_its_name_there() -> None:
    assert entry_of(NAMED).value is None
    assert Loaded(entry_of(NAMED)).train() is NAMED


def test_a_value_of_a_script(script: Path) -> None:
    """Its own names are those of the script, whatever that was loaded as; another script's are not there."""
    module = module_of(script, LOADED_AS)
    try:
        entry = entry_of(module.Own(x=5))
        assert (entry.kind, entry.name, entry.file) == ("file", "Own", str(script))
        other = Task(init=train, train_interval=module.train, evaluate=train)
        assert entry_of(other) == Entry(kind="parcel")
    finally:
        del sys.modules[LOADED_AS]
    made = Loaded(entry).train()
    assert type(made).__name__ == "Own"
    assert made.x == 5  # type: ignore[attr-defined]


def test_a_value_whose_class_has_changed() -> None:
    entry = dataclasses.replace(
        entry_of(Descent(steps=3)), value={"$": f"{__name__}:Descent", "steps": 3, "forgotten": 1}
    )
    with pytest.raises(InvalidType, match=r"'Descent' in .* cannot be made as it was recorded: .*forgotten"):
        Loaded(entry).train()


def test_a_function_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "deep" / "warren_test_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("def train(slot): ...\n")
    (package / "inside.py").write_text("def train(slot): ...\n")
    monkeypatch.syspath_prepend(tmp_path / "deep")
    for name in ("warren_test_package", "warren_test_package.inside"):
        module = importlib.import_module(name)
        entry = entry_of(module.train)
        assert (entry.kind, entry.module, entry.path) == ("module", name, str(tmp_path / "deep"))
        # A new interpreter finds it by the path alone.
        code = f"import sys; sys.path.insert(0, {entry.path!r}); import {name} as found; print(found.__file__)"
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert found.stdout.strip() == module.__file__
        del sys.modules[name]


def test_a_function_of_a_script(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = module_of(script, LOADED_AS)
    try:
        for name in ("train", "task"):
            entry = entry_of(getattr(module, name))
            assert (entry.kind, entry.name, entry.file) == ("file", name, str(script))
            assert (entry.path, entry.module) == (str(script.parent), "")
    finally:
        del sys.modules[LOADED_AS]


def test_an_entry_survives_its_record() -> None:
    entry = entry_of(train)
    assert Entry.load(json.loads(json.dumps(dump(entry)))) == entry
    with pytest.raises(InvalidValue, match="no entry"):
        Entry.load("train.py")


def test_the_digest_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"abc")
    assert file_digest(str(tmp_path / "a.py")) == "ba7816bf8f01cfea"  # SHA-256 of "abc", FIPS 180-2
    assert file_digest(str(tmp_path / "none.py")) == ""


# -- loading ----------------------------------------------------------------------------------------------------------


def entry_at(path: Path, name: str = "train") -> Entry:
    return Entry(kind="file", name=name, file=str(path), path=str(path.parent))


def test_a_file_is_loaded_under_a_name_of_its_own(script: Path) -> None:
    """Nothing under `if __name__ == "__main__"` runs, and its functions still see its names."""
    loaded = Loaded(entry_at(script))
    assert loaded.train()(None) == LOADED_AS


def test_modules_beside_the_file_are_found(script: Path) -> None:
    (script.parent / "warren_test_beside.py").write_text("VALUE = 7\n")
    script.write_text("from warren_test_beside import VALUE\ndef train(slot): return VALUE\n")
    assert Loaded(entry_at(script)).train()(None) == 7


def test_settings_are_found_by_name(script: Path) -> None:
    loaded = Loaded(entry_at(script))
    find = loaded.find()
    assert find("warren.strategies.compose", "PBT") is PBT
    for module in ("__main__", LOADED_AS):
        assert dataclasses.astuple(find(module, "Own")()) == (1,)
        assert dataclasses.astuple(find(module, "Own.Inside")()) == (2,)
    with pytest.raises(UnknownName, match="Missing"):
        find("__main__", "Missing")
    own = Loaded(entry_of(train)).find()
    assert own(__name__, "train") is train


def test_settings_that_are_not_there_any_more() -> None:
    """A module or a class that is gone is the user's to mend, and is named."""
    find = Loaded(entry_of(train)).find()
    with pytest.raises(UnknownName, match="Gone"):
        find("warren.strategies", "Gone")
    with pytest.raises(UnknownName, match="warren_is_gone"):
        find("warren_is_gone", "PBT")


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        ("def train(slot)\n", InvalidValue, ["cannot be loaded", "SyntaxError"]),
        ("1 / 0\n", InvalidValue, ["cannot be loaded", "ZeroDivisionError: division by zero"]),
        ("import warren_is_gone\n", InvalidValue, ["ModuleNotFoundError", "warren_is_gone"]),
        ("raise SystemExit(3)\n", InvalidValue, ["ended the process", "exit 3"]),
        ("def other(slot): ...\n", UnknownName, ["has no 'train'"]),
        ("train = 5\n", InvalidType, ["'train'", "no function", "5"]),
    ],
)
def test_a_file_that_cannot_be_used(script: Path, source: str, kind: type[Exception], words: list[str]) -> None:
    script.write_text(source)
    with pytest.raises(kind) as caught:
        Loaded(entry_at(script)).train()
    assert [word for word in (*words, str(script)) if word not in str(caught.value)] == []


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="is not there"):
        Loaded(entry_at(tmp_path / "none.py"))

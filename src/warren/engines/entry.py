"""How a process finds the user's training function: by file or module and name, by its value, or as a parcel."""

from __future__ import annotations

import builtins
import hashlib
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from types import MethodType, ModuleType
from typing import Any, Literal

from warren.errors import InvalidType, InvalidValue, UnknownName
from warren.values import Json, Lookup, dump, is_value, load

LOADED_AS = "__warren__"
"""The name that a user's file is loaded under, so that nothing under ``__main__`` runs."""

WORKER_VARIABLE = "WARREN_WORKER"
"""Set in the environment of workers: a run cannot be started while one loads the user's file."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Where the training function is.

    Attributes:
        kind: ``file``: loaded from a file; ``module``: imported; ``parcel``: sent by cloudpickle to this run's own
            workers and never stored.
        name: Its name inside the file or module.
        file: The file that it stands in.
        module: The module's name, for ``module``.
        path: A folder that imports may come from.
        digest: SHA-256 of the file when the run was made, shortened; tells that the code has changed.
        value: What `dump` says of the training function where that is a frozen dataclass, or made of one's methods:
            then `name` is that of its class, and it is made anew from its fields.
    """

    kind: Literal["file", "module", "parcel"]
    name: str = ""
    file: str = ""
    module: str = ""
    path: str = ""
    digest: str = ""
    value: Json = None

    @classmethod
    def load(cls, record: Json) -> Entry:
        """The entry that a record keeps."""
        if not isinstance(record, dict):
            raise InvalidValue(f"the record holds no entry, but {record!r}")
        return cls(**{name: value for name, value in record.items() if name != "$"})  # type: ignore[arg-type]


def file_digest(file: str) -> str:
    """A short digest of a file's content, or the empty string where it cannot be read."""
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def entry_of(train: Any) -> Entry:
    """How another process can find a training function.

    Args:
        train: A function, or an object such as a `Task` that stands in a module under some name.

    Returns:
        A file or module where it can be found there under a name or made anew from its fields, else a parcel.
    """
    module_name = getattr(train, "__module__", None)
    # A Task is an instance: it stands in the module of its functions, not in that of its class.
    owner = getattr(train, "init", train) if not getattr(train, "__qualname__", "") else train
    module_name = getattr(owner, "__module__", module_name)
    module = sys.modules.get(str(module_name))
    code = getattr(owner, "__code__", None)
    if owner is not train and not _holds(module, train):
        # Made by a function of some library, of that library's functions: it stands where the user gave it a name.
        module = next(
            (m for m in (sys.modules.get("__main__"), *list(sys.modules.values())) if _holds(m, train)), module
        )
        module_name, code = getattr(module, "__name__", module_name), None
    file = getattr(module, "__file__", None)
    if (
        module is None
        or file is None
        or not os.path.exists(file)
        or (code is not None and not _same(code.co_filename, file))
    ):
        return Entry(kind="parcel")
    name, made_of = next((name for name, value in vars(module).items() if value is train), None), None
    if name is None:
        name, made_of = type(getattr(owner, "__self__", train)).__qualname__, _fields(train, str(module.__name__))
        if made_of is None:
            return Entry(kind="parcel")
    file = os.path.abspath(file)
    spec = getattr(module, "__spec__", None)
    if module_name == "__main__" and spec is not None and spec.name and "." in spec.name:
        module_name = spec.name  # python -m package.module
    if module_name not in ("__main__", LOADED_AS) and _importable(str(module_name), file):
        return Entry(
            kind="module", name=name, file=file, module=str(module_name), path=_root(file, str(module_name)),
            digest=file_digest(file), value=made_of,
        )  # fmt: skip
    return Entry(kind="file", name=name, file=file, path=os.path.dirname(file), digest=file_digest(file), value=made_of)


def _fields(train: Any, module: str) -> Json:
    """What the record keeps of a training function that is a value; None where it would not come back as it is."""
    if not is_value(train):
        return None
    try:
        record = dump(train)
        back = load(record, lambda where, name: attrgetter(name)(sys.modules[where]))
    except (InvalidType, InvalidValue, TypeError, KeyError, AttributeError):
        return None
    # A script's own names are found in that script only.
    return None if not _alike(back, train) or _names(record) & {"__main__", LOADED_AS} - {module} else record


def _alike(a: Any, b: Any) -> bool:
    """Equality of values; methods are equal only if they are of the same object, so theirs are compared."""
    if isinstance(a, MethodType) and isinstance(b, MethodType):
        return a.__func__ is b.__func__ and _alike(a.__self__, b.__self__)
    if not is_value(a):
        return bool(a == b)
    # What is no argument follows from what is.
    return type(a) is type(b) and all(
        _alike(getattr(a, one.name), getattr(b, one.name)) for one in fields(a) if one.init
    )


def _names(value: Json) -> set[str]:
    """The modules that a setting names."""
    if isinstance(value, list):
        return set().union(*map(_names, value))
    if not isinstance(value, dict):
        return set()
    own = {str(value[kind]).split(":")[0] for kind in ("$", "$function") if kind in value}
    return own.union(*map(_names, value.values()))


def _holds(module: Any, train: Any) -> bool:
    """Whether a module has a training function under some name."""
    return isinstance(module, ModuleType) and any(value is train for value in list(vars(module).values()))


def _same(a: str, b: str) -> bool:
    return os.path.abspath(a) == os.path.abspath(b)


def _importable(module: str, file: str) -> bool:
    """Whether a new interpreter that looks in the module's own root would find this very file."""
    depth = len(module.split("."))
    parts = Path(file).with_suffix("").parts
    tail = parts[:-1] if parts[-1] == "__init__" else parts
    return tail[-depth:] == tuple(module.split("."))


def _root(file: str, module: str) -> str:
    parts = Path(file).with_suffix("").parts
    levels = len(module.split(".")) + (1 if parts[-1] == "__init__" else 0)
    return str(Path(*parts[:-levels]))


def _executed(file: str) -> ModuleType:
    """A file run as a module that stays known under its name, so that its classes can be pickled and found."""
    spec = importlib.util.spec_from_file_location(LOADED_AS, file)
    if spec is None or spec.loader is None:
        raise InvalidValue(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[LOADED_AS] = module
    spec.loader.exec_module(module)
    return module


@contextmanager
def _no_runs() -> Iterator[None]:
    """Refuse runs that the file itself would start while it is loaded, in whichever process that is."""
    before = os.environ.get(WORKER_VARIABLE)
    os.environ[WORKER_VARIABLE] = before or "loading"
    try:
        yield
    finally:
        if before is None:
            del os.environ[WORKER_VARIABLE]


def _where(entry: Entry, error: Exception) -> str:
    """The user's file with the line that raised, where that can be told."""
    file = entry.file or entry.module
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if _same(frame.filename, file)]
    if isinstance(error, SyntaxError) and error.lineno is not None:
        lines = [error.lineno]
    return f"{file}:{lines[-1]}" if lines else file


class Loaded:
    """The user's code in this process: its names, for the training function and for settings.

    Args:
        entry: Where it is.

    Raises:
        InvalidValue: The file is not there or cannot be loaded; the message has the error of the file.
    """

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self.names: Mapping[str, Any] = {}
        if entry.path and entry.path not in sys.path:
            sys.path.insert(0, entry.path)
        if entry.kind == "parcel":
            return
        with _no_runs():
            self._load(entry)

    def _load(self, entry: Entry) -> None:
        try:
            if entry.kind == "file":
                if not os.path.exists(entry.file):
                    raise InvalidValue(f"the training file {entry.file} is not there")
                self.names = vars(_executed(entry.file))
            else:
                self.names = vars(importlib.import_module(entry.module))
        except (InvalidValue, InvalidType, UnknownName):
            raise
        except SystemExit as error:
            raise InvalidValue(f"{entry.file} ended the process while it was loaded: exit {error.code}") from None
        except Exception as error:
            raise InvalidValue(f"{_where(entry, error)} cannot be loaded: {type(error).__name__}: {error}") from error

    def train(self) -> Callable[[Any], Any]:
        """The training function.

        Raises:
            UnknownName: The file has no such name.
            InvalidType: What it names cannot be called.
        """
        if self._entry.value is not None:
            return self._made()
        if self._entry.name not in self.names:
            raise UnknownName(f"{self._entry.file or self._entry.module} has no {self._entry.name!r}")
        train = self.names[self._entry.name]
        if not callable(train):
            raise InvalidType(f"{self._entry.name!r} in {self._entry.file} is no function, but {train!r}")
        return train  # type: ignore[no-any-return]

    def _made(self) -> Callable[[Any], Any]:
        """The training function made anew from its fields."""
        try:
            return load(self._entry.value, self.find())  # type: ignore[no-any-return]
        except TypeError as error:
            raise InvalidType(
                f"{self._entry.name!r} in {self._entry.file} cannot be made as it was recorded: {error}; "
                "give new fields a default, and leave those that runs were made with"
            ) from None

    def find(self) -> Lookup:
        """Look-up of the classes and functions that settings name: warren's own, the file's, or a module's."""

        def find(module: str, name: str) -> Any:
            if module in ("__main__", LOADED_AS) or (module == self._entry.module and self.names):
                thing: Any = self.names.get(name.split(".")[0])
                if thing is None:
                    raise UnknownName(f"the settings name {name!r}, which {self._entry.file} does not have")
                rest = name.split(".")[1:]
            else:
                try:
                    thing, rest = importlib.import_module(module), name.split(".")
                except ImportError as error:
                    raise UnknownName(f"the settings name {module}:{name}, which cannot be imported: {error}") from None
            for part in rest:
                thing = builtins.getattr(thing, part, None)
            if thing is None:
                raise UnknownName(f"the settings name {module}:{name}, which is not there any more")
            return thing

        return find

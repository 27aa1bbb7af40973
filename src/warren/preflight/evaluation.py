"""Evaluation that trains: seen while a trial goes on."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import CodeType, FrameType
from typing import Any

from warren.preflight.compare import differences, is_array
from warren.preflight.kinds import kind_of
from warren.preflight.trials import Look, Trying, is_user_file
from warren.state import clone
from warren.state.leaves import is_torch
from warren.training import Task, perform

_SAYS = {
    "evaluate", "evaluation", "eval", "validate", "validation", "val", "valid", "test", "testing", "score", "accuracy",
    "acc",
}  # fmt: skip
_DENIES = {"train", "training", "fit", "learn", "update"}
_CALLS = 3
"""Calls of one function that are looked at: each costs two copies of the state."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Evaluation that was seen to train.

    Attributes:
        function: Of the user's, or "" where it happens in the loop itself.
        subject: What it changes, or the layer that is in the wrong mode.
        layer: Class of that layer, or "".
    """

    function: str
    subject: str
    layer: str = ""


def says_evaluation(name: str) -> bool:
    """Whether a function's name says that it evaluates."""
    words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}
    return bool(words & _SAYS) and not words & _DENIES


class Evaluations(Look):
    """Watches the functions whose names say that they evaluate, and layers that behave otherwise in training.

    Attributes:
        found: What was seen.
    """

    def __init__(self) -> None:
        self.found: dict[Trained, None] = {}
        self._codes: dict[CodeType, bool] = {}
        self._calls: dict[CodeType, int] = {}
        self._inside: FrameType | None = None
        self._before: dict[str, Any] = {}
        self._slot: Trying | None = None
        self._on = False
        self._handles: list[Any] = []
        self._pending: dict[str, str] = {}

    def track(self, slot: Trying, name: str, obj: object) -> None:
        """See `Look`."""
        if is_torch(obj, "nn.Module"):
            module: Any = obj
            for path, layer in module.named_modules():
                if _changes(layer):
                    hook = _Hook(self, f"{name}.{path}" if path else name)
                    with contextlib.suppress(Exception):  # compiled layers take no hooks
                        self._handles.append(layer.register_forward_pre_hook(hook))
        elif is_torch(obj, "optim.Optimizer"):
            optimizer: Any = obj
            self._handles.append(optimizer.register_step_pre_hook(lambda *args: self._pending.clear()))

    def arrive(self, slot: Trying, frames: list[FrameType]) -> None:
        """See `Look`."""
        self._slot = slot
        self._codes.update({frame.f_code: False for frame in frames})  # the loop itself, whatever it is called
        if sys.getprofile() is None:  # a profiler of the user's is left alone
            self._on = True
            sys.setprofile(self._note)

    def end(self, slot: Trying, frames: list[FrameType]) -> None:
        """See `Look`."""
        for layer, kind in self._pending.items():
            self.found[Trained(function="", subject=layer, layer=kind)] = None
        self.stop()

    def stop(self) -> None:
        """See `Look`."""
        if self._on:
            sys.setprofile(None)
        self._on, self._slot, self._inside, self._before = False, None, None, {}
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._pending.clear()

    def _note(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and self._inside is None and self._slot is not None and self._evaluates(frame.f_code):
            calls = self._calls[frame.f_code] = self._calls.get(frame.f_code, 0) + 1
            if calls <= _CALLS:
                self._inside, self._before = frame, _arrays(self._slot)
        elif event == "return" and frame is self._inside and self._slot is not None:
            self._inside = None
            after = _arrays(self._slot)
            for name in dict.fromkeys(str(path[0]) for path, _, _ in differences(self._before, after)):
                self.found[Trained(function=frame.f_code.co_name, subject=name)] = None

    def _evaluates(self, code: CodeType) -> bool:
        known = self._codes.get(code)
        if known is None:
            known = self._codes[code] = says_evaluation(code.co_name) and is_user_file(code.co_filename)
        return known

    def ran(self, path: str, layer: Any) -> None:
        """A layer that behaves otherwise in training is about to run."""
        torch: Any = sys.modules["torch"]
        if not layer.training:
            return
        if torch.is_grad_enabled():
            self._pending.clear()  # the loop trains; what came before was not the evaluation at its end
            return
        kind = type(layer).__name__
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and frame.f_code is not perform.__code__:
            if self._evaluates(frame.f_code):
                self.found[Trained(function=frame.f_code.co_name, subject=path, layer=kind)] = None
                return
            frame = frame.f_back
        self._pending[path] = kind


class _Hook:
    def __init__(self, watcher: Evaluations, path: str) -> None:
        self._watcher = watcher
        self._path = path

    def __call__(self, layer: Any, arguments: Any) -> None:
        self._watcher.ran(self._path, layer)


def watched(task: Task, tell: Callable[[Trained], None]) -> Task:
    """The task, with an evaluation that is told of when it changes the state."""

    def evaluate(state: Any, rng: Any) -> Any:
        before = clone(state)
        result = task.evaluate(state, rng)
        if any(differences(before, state)):
            tell(Trained(function=task.evaluate.__name__, subject="state"))
        return result

    return replace(task, evaluate=evaluate)


def _arrays(slot: Trying) -> dict[str, Any]:
    """The arrays of the tracked objects, copied: numbers (a best score, a count of evaluations) may change."""
    kept = {}
    for name, tree in slot.captured().items():
        if kind_of(slot.objects[name]) != "generator":
            kept[name] = clone(_only_arrays(tree))
    return kept


def _only_arrays(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _only_arrays(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_only_arrays(value) for value in tree]
    return tree if is_array(tree) else None


def _changes(layer: Any) -> bool:
    """Whether a layer behaves otherwise in training: it drops units, or keeps statistics."""
    if is_torch(layer, "nn.modules.dropout._DropoutNd"):
        return bool(layer.p > 0)
    return is_torch(layer, "nn.modules.batchnorm._NormBase") and bool(layer.track_running_stats)

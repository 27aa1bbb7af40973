"""What a slot's objects have learned: captured as one tree, restored in place, by role."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from warren.errors import InvalidValue, LoopError, StateError
from warren.state import Adapter, Tree, adapt, decode, encode

OnExploit = Literal["copy", "keep", "clear"]

RESERVED = ("state", "warren")


@dataclass(frozen=True, kw_only=True)
class _Entry:
    obj: object
    adapter: Adapter
    on_exploit: OnExploit
    initial: bytes | None


class Tracked:
    """The objects that hold a member's state, by the names that the user gave them."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def __bool__(self) -> bool:
        return bool(self._entries)

    def add(self, name: str, obj: object, on_exploit: OnExploit) -> None:
        """Track an object.

        Raises:
            InvalidType: The object has no state that can be read and written.
            InvalidValue: The name or the role is not allowed.
            LoopError: The name is taken.
        """
        if on_exploit not in ("copy", "keep", "clear"):
            raise InvalidValue(f"on_exploit={on_exploit!r} must be 'copy', 'keep' or 'clear'")
        if name in RESERVED:
            raise InvalidValue(f"track({name}=...): the name {name!r} is warren's own; use another one")
        if name in self._entries:
            raise LoopError(f"track({name}=...): {name!r} is tracked already")
        adapter = adapt(name, obj)
        initial = encode(adapter.capture()).tobytes() if on_exploit == "clear" else None
        self._entries[name] = _Entry(obj=obj, adapter=adapter, on_exploit=on_exploit, initial=initial)

    def objects(self) -> dict[str, object]:
        """The tracked objects by name."""
        return {name: entry.obj for name, entry in self._entries.items()}

    def own(self) -> bool:
        """Whether anything stays with the member at an exploit."""
        return any(entry.on_exploit == "keep" for entry in self._entries.values())

    def capture(self) -> dict[str, Tree]:
        """The state of everything, by name; arrays may be shared with the live objects."""
        return {name: entry.adapter.capture() for name, entry in self._entries.items()}

    def restore(self, tree: dict[str, Any], *, own: dict[str, Any] | None = None, exploited: bool = False) -> None:
        """Load a state into the objects, in place.

        Args:
            tree: A state that `capture` gave, of this member or of a donor.
            own: The member's own state, for objects that stay with it at an exploit; None where the objects hold it
                already, or were just built for a member that has none.
            exploited: The state is a donor's.

        Raises:
            StateError: The state does not fit the objects.
        """
        for name, entry in self._entries.items():
            if exploited and entry.initial is not None:
                entry.adapter.restore(decode(bytearray(entry.initial)))
                continue
            source: dict[str, Any] | None = own if exploited and entry.on_exploit == "keep" else tree
            if source is None:
                continue
            if name not in source:
                raise StateError(
                    f"the checkpoint holds no state of {name!r}; it holds {', '.join(sorted(source)) or 'nothing'}. "
                    "Every call of the training function must track the same names"
                )
            entry.adapter.restore(source[name])

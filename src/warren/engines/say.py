"""What a run says to the user, who may have gone away."""

from __future__ import annotations

import contextlib
import sys


def say(text: str) -> None:
    """Print lines to standard error. A closed terminal or pipe (``2>&1 | head``) must not end a run that trains.

    Args:
        text: The lines.
    """
    if sys.stderr is not None:  # else `print` would take standard output
        with contextlib.suppress(OSError, ValueError):
            print(text, file=sys.stderr, flush=True)

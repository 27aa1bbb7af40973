"""A population as one value: states with a leading member axis, and programs that train all members at once."""

from warren.stacked.base import (
    Arrays,
    Functions,
    Key,
    Lift,
    Outcome,
    OutOfMemory,
    Round,
    Stacked,
    Untraceable,
    columns,
    nested,
    reported,
)
from warren.stacked.keys import Keyring
from warren.stacked.picture import Picture
from warren.stacked.stack import Stack

__all__ = [
    "Arrays",
    "Functions",
    "Key",
    "Keyring",
    "Lift",
    "OutOfMemory",
    "Outcome",
    "Picture",
    "Round",
    "Stack",
    "Stacked",
    "Untraceable",
    "columns",
    "nested",
    "reported",
]

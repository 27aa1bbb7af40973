"""What the demonstrations' commands have in common."""

from __future__ import annotations

import argparse
from typing import NoReturn

from warren.errors import InvalidValue


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, as every command of warren does, instead of printing its usage."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse.

        Raises:
            InvalidValue: Always.
        """
        raise InvalidValue(f"{self.prog}: {message}; see {self.prog} --help")


def positive(text: str) -> int:
    """A whole number from 1 on, for an option's ``type``."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 1 on")
    return number

"""How a store of an earlier version becomes one of this version: a list of steps, each from one version to the next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

STEPS: Mapping[int, Sequence[str]] = {
    1: (
        "ALTER TABLE intervals ADD COLUMN failures INTEGER NOT NULL DEFAULT '0'",
        "ALTER TABLE intervals ADD COLUMN kept TEXT",
        "ALTER TABLE intervals ADD COLUMN lost INTEGER",
        "ALTER TABLE runs ADD COLUMN longest FLOAT NOT NULL DEFAULT '0'",
    ),
    2: (
        "ALTER TABLE intervals ADD COLUMN via TEXT",
        "ALTER TABLE intervals ADD COLUMN opponents TEXT NOT NULL DEFAULT '[]'",
        "CREATE INDEX members_retired ON members (run, member) WHERE role = 'retired'",
    ),
}
"""Statements by the version that they start from. What was once released is never changed here."""


def known(found: int, wanted: int) -> bool:
    """Whether there is a way from one version to another."""
    return found <= wanted and all(version in STEPS for version in range(found, wanted))


def steps(found: int, wanted: int) -> Iterator[str]:
    """The statements that lead from one version to another, to be carried out in one transaction."""
    for version in range(found, wanted):
        yield from STEPS[version]

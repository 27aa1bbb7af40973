"""How many checkpoints a run keeps at a time."""

from __future__ import annotations


def most_checkpoints(population: int, workers: int, pins: int = 0) -> int:
    """The most checkpoints that a run has at any time: what its disk must hold, whatever the number of intervals.

    Each member keeps those of its two newest boundaries. Each worker adds one inside a stretch, one that its member
    copied and the donor no longer needs, the member's own from before that copy, and the one that it is writing. Then
    there is the best of all time, and what is pinned. Where an interruption or a failure meets members inside a stretch
    of several intervals, each of them may keep one more until it is trained again. What a strategy combines, or hands
    to members as opponents, comes on top where its owner needs it no more.

    Args:
        population: Members.
        workers: Members that train at a time.
        pins: Checkpoints that a strategy pinned, and a warm start.
    """
    return 2 * population + 4 * workers + 1 + pins


def most_in_rounds(population: int, pins: int = 0) -> int:
    """As `most_checkpoints`, where all members train together: the states of a third round are being written.

    What a member copied, and its own from before, are among the two newest of its donor and of itself: all stand at the
    same interval.

    Args:
        population: Members.
        pins: As for `most_checkpoints`.
    """
    return 3 * population + 1 + pins

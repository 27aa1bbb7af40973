"""One worker's work: training functions called for one member after another."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from warren.errors import CheckpointDamaged, CheckpointMissing, WarrenError
from warren.training import Slot, Turns, Watch

Train = Callable[[Slot], Any]


def work(train: Train, turns: Turns, begins: Callable[[], None] = lambda: None) -> None:
    """Train members until there is nothing more to do for this worker.

    What user code raises is its member's failure; what it does wrong with the slot is the user's mistake and ends the
    run. Either way the member is given back.

    Args:
        train: The training function.
        turns: Where members come from.
        begins: Called before each call of the training function.

    Raises:
        WarrenError: The loop broke the slot's protocol, or the run has failed.
    """
    watch = Watch(turns.settings.space, turns.warn)
    row = turns.next()
    while row is not None:
        try:
            slot = Slot(turns, row, watch)
            begins()
            train(slot)
            row = slot.finish()
        except (CheckpointDamaged, CheckpointMissing):
            turns.damaged(traceback.format_exc())
            row = turns.next()
        except WarrenError:
            turns.release()
            raise
        except (Exception, SystemExit):  # a member that ends the process would do so again and again
            turns.fail(traceback.format_exc())
            row = turns.next()
        except BaseException:
            turns.release()
            raise

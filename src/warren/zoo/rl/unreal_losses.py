"""What UNREAL learns beside its policy: to change pixels (Jaderberg et al. 2016, section 3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor

CROP = 80
"""Side of the middle part of an image whose pixels count."""

CELL = 4
"""Side of a cell, in pixels."""


def pixel_change(before: Tensor, after: Tensor) -> Tensor:
    """How much each cell of an image changed: the mean absolute difference of its pixels, over all channels.

    Args:
        before: Images from 0 to 255; shape (n, channels, height, width), sides from `CROP` on.
        after: What they became; the same shape.

    Returns:
        From 0 to 1; shape (n, CROP / CELL, CROP / CELL).
    """
    top, left = (before.shape[-2] - CROP) // 2, (before.shape[-1] - CROP) // 2
    part = (..., slice(top, top + CROP), slice(left, left + CROP))
    change = (after[part].float() - before[part].float()).abs().mean(-3) / 255.0
    return F.avg_pool2d(change, CELL)


def pixel_control_loss(
    q: Tensor, last: Tensor, actions: Tensor, changes: Tensor, ended: Tensor, discount: float
) -> Tensor:
    """n-step Q-learning of the change of each cell.

    (R - Q(a))^2 / 2, summed over the cells, the mean over steps and environments; R_t = c_t + discount * R_{t+1},
    R_T = max_a Q of what follows. Where an episode has ended, cut or not, nothing follows, and the step itself is left
    out: the next image is another episode's.

    Args:
        q: Shape (steps, environments, actions, cells, cells).
        last: max_a Q of what follows; shape (environments, cells, cells).
        actions: Shape (steps, environments).
        changes: Shape (steps, environments, cells, cells).
        ended: Whether the episode ended with the step; shape (steps, environments).
        discount: From 0 to 1.
    """
    following = last
    returns = torch.empty_like(changes)
    for step in range(len(changes) - 1, -1, -1):
        over = ended[step][:, None, None]
        following = torch.where(over, torch.zeros_like(following), changes[step] + discount * following)
        returns[step] = following
    index = actions[..., None, None, None].expand(-1, -1, 1, *q.shape[-2:])
    taken = q.gather(2, index).squeeze(2)
    weights = (~ended)[..., None, None]  # what the last step of an episode changed was not seen
    return 0.5 * (weights * (returns.detach() - taken) ** 2).sum((-2, -1)).mean()

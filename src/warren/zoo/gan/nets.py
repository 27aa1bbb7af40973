"""The two networks of a DCGAN (Radford et al. 2015, arXiv 1511.06434), as large as the images ask for."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from warren.errors import InvalidValue


def stages(size: int) -> int:
    """How often the side of an image is halved: down to 4 or an odd number, and twice at least.

    Args:
        size: Side of the square image, in pixels: 8 gives 2 (down to 2 x 2), 28 gives 2 (7 x 7), 32 gives 3 (4 x 4).

    Raises:
        InvalidValue: The side is no multiple of 4.
    """
    if size < 4 or size % 4:
        raise InvalidValue(f"images of {size} x {size} pixels: the side must be a multiple of 4; crop or pad them")
    count = 0
    while count < 2 or (size % 2 == 0 and size > 4):
        size, count = size // 2, count + 1
    return count


class Generator(nn.Module):
    """Noise to images: a linear layer, then transposed convolutions, each of which doubles the side.

    Args:
        shape: Channels, height and width of an image; height and width are equal.
        latent: Length of the noise.
        width: Channels before the last layer; twice as many in each layer before.
    """

    def __init__(self, shape: tuple[int, int, int], latent: int, width: int) -> None:
        super().__init__()
        count, channels = stages(shape[1]), shape[0]
        side = shape[1] >> count
        widths = [width << place for place in reversed(range(count))]
        self.layers = nn.Sequential(
            nn.Linear(latent, widths[0] * side * side, bias=False),
            nn.Unflatten(1, (widths[0], side, side)),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        for before, after in pairwise(widths):
            self.layers += nn.Sequential(
                nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
            )
        self.layers += nn.Sequential(nn.ConvTranspose2d(width, channels, 4, 2, 1), nn.Tanh())
        self.apply(_drawn)

    def forward(self, noise: Tensor) -> Tensor:
        """Images of shape (n, channels, height, width) from -1 to 1, for noise of shape (n, latent)."""
        images: Tensor = self.layers(noise)
        return images


class Discriminator(nn.Module):
    """Images to logits, positive for real ones: convolutions, each of which halves the side, and a linear layer.

    Args:
        shape: Channels, height and width of an image; height and width are equal.
        width: Channels after the first layer; twice as many after each further one.
    """

    def __init__(self, shape: tuple[int, int, int], width: int) -> None:
        super().__init__()
        count, channels = stages(shape[1]), shape[0]
        side = shape[1] >> count
        self.layers = nn.Sequential(nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2))
        for place in range(count - 1):
            before, after = width << place, width << place + 1
            self.layers += nn.Sequential(
                nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)
            )
        self.layers += nn.Sequential(nn.Flatten(), nn.Linear((width << count - 1) * side * side, 1))
        self.apply(_drawn)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of shape (n,) for images of shape (n, channels, height, width)."""
        logits: Tensor = self.layers(images)[:, 0]
        return logits


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Mean of ``-log D(x)`` over real images plus mean of ``-log (1 - D(G(z)))`` (Goodfellow et al. 2014, equation 1).

    Args:
        real: Logits of real images; D is their logistic function. Shape (n,).
        fake: Logits of generated images.
    """
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """Mean of ``-log D(G(z))``, which does not saturate where D is sure (Goodfellow et al. 2014, section 3).

    Args:
        fake: Logits of generated images. Shape (n,).
    """
    return F.softplus(-fake).mean()


def sampled(generator: nn.Module, noise: Tensor) -> Tensor:
    """Images for evaluation, with the running statistics of batch normalisation.

    So an image depends on its own noise alone, as for whoever uses the generator later; with the statistics of a batch
    it would depend on the others in it, and looking would change the state.

    Args:
        generator: Left in training mode, as members train on.
        noise: Shape (n, latent).

    Returns:
        Shape (n, channels, height, width), from -1 to 1.
    """
    generator.eval()
    with torch.no_grad():
        images = torch.cat([generator(part) for part in torch.split(noise, 1000)])
    generator.train()
    return images


def _drawn(module: nn.Module) -> None:
    """Weights as the DCGAN paper draws them (section 4): normal with deviation 0.02, scales around 1."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)

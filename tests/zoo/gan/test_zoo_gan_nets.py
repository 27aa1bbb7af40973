from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from warren.errors import InvalidValue
from warren.zoo.gan.nets import Discriminator, Generator, discriminator_loss, generator_loss, sampled, stages

LOGITS = [0.0, math.log(3.0)]  # the logistic function of these is 1/2 and 3/4


def test_the_discriminators_loss_by_hand():
    # -log D: ln 2 and ln(4/3), mean ln(8/3) / 2. The fake ones have the other sign: 1 - D is 1/2 and 3/4 as well.
    real, fake = torch.tensor(LOGITS), -torch.tensor(LOGITS)
    assert discriminator_loss(real, fake).item() == pytest.approx(math.log(8 / 3))
    # Real and fake exchanged: -log(1/2) and -log(1/4) twice, mean ln(8) / 2 each.
    assert discriminator_loss(fake, real).item() == pytest.approx(math.log(8))


def test_the_generators_loss_by_hand():
    assert generator_loss(torch.tensor(LOGITS)).item() == pytest.approx(math.log(8 / 3) / 2)


def test_the_generators_loss_does_not_saturate():
    # d/dl -log D = D - 1: about -1 where the discriminator is sure, where that of log(1 - D) is about 0.
    logit = torch.tensor([-20.0], requires_grad=True)
    generator_loss(logit).backward()
    assert logit.grad.item() == pytest.approx(-1.0, abs=1e-6)


@pytest.mark.parametrize(("shape", "halvings"), [((1, 8, 8), 2), ((1, 28, 28), 2), ((3, 32, 32), 3), ((3, 64, 64), 4)])
def test_networks_fit_the_images(shape, halvings):
    assert stages(shape[1]) == halvings
    generator, discriminator = Generator(shape, latent=5, width=4), Discriminator(shape, width=4)
    images = generator(torch.randn(2, 5))
    assert images.shape == (2, *shape)
    assert images.abs().max() <= 1
    assert discriminator(images).shape == (2,)
    doubling = [layer for layer in generator.modules() if isinstance(layer, torch.nn.ConvTranspose2d)]
    assert len(doubling) == halvings


@pytest.mark.parametrize("size", [2, 10, 27])
def test_a_side_that_cannot_be_halved_twice_is_refused(size):
    with pytest.raises(InvalidValue, match=f"{size} x {size} pixels: the side must be a multiple of 4"):
        Generator((1, size, size), latent=4, width=4)


def test_weights_are_drawn_as_published():
    torch.manual_seed(0)
    weights = Discriminator((3, 32, 32), width=64).layers[2].weight  # 131,072 draws: an error of 0.2 %
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)
    scales = Generator((3, 32, 32), latent=4, width=64).layers[2].weight
    assert scales.mean().item() == pytest.approx(1.0, abs=0.01)


def test_a_sample_depends_on_its_own_noise_alone():
    torch.manual_seed(0)
    generator = Generator((1, 8, 8), latent=4, width=4)
    generator(torch.randn(50, 4))  # running statistics that are not those of a fresh layer
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    noise = torch.randn(6, 4)
    assert np.allclose(sampled(generator, noise)[:1], sampled(generator, noise[:1]), atol=1e-6)
    assert generator.training
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())

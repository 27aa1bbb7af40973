"""The training loop: a discriminator and a generator, each with an optimizer and a learning rate of its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from warren.space import Float
from warren.training import Slot
from warren.zoo.gan.data import Name, images
from warren.zoo.gan.judge import Judge, judge
from warren.zoo.gan.nets import Discriminator, Generator, discriminator_loss, generator_loss, sampled
from warren.zoo.gan.sheets import Sheets, grid

SHOWN = 16
"""Images on a sheet."""


def space() -> dict[str, Float]:
    """What is tuned: two learning rates, apart."""
    return {"discriminator_lr": Float(1e-5, 1e-2, scale="log"), "generator_lr": Float(1e-5, 1e-2, scale="log")}


@dataclass(frozen=True, kw_only=True)
class Gan:
    """The training function: a DCGAN on one data set.

    A value, so that the record has its fields and other processes find it.

    Attributes:
        data: As for `warren.zoo.gan.data.images`.
        split: Seed of who is held out, and of the judge.
        latent: Length of the noise.
        width: Channels of the discriminator's first layer and of the generator's last but one.
        batch: Images in a minibatch.
        steps: Generator steps in an interval.
        discriminator_steps: Discriminator steps before each of them.
        samples: Images that a score is computed from; as many others for the distance.
        judge_width: Channels of the judge's first layer.
        judge_features: Of the judge's hidden layer.
        judge_passes: Of the judge over the training images.
    """

    data: Name = "digits"
    split: int = 0
    latent: int = 32
    width: int = 16
    batch: int = 64
    steps: int = 40
    discriminator_steps: int = 5
    samples: int = 2000
    judge_width: int = 16
    judge_features: int = 32
    judge_passes: int = 8

    @property
    def device(self) -> str:
        """Where it is trained: the GPU that the process sees, else the CPU."""
        return "cuda" if torch.cuda.is_available() else "cpu"

    def judge(self) -> Judge:
        """Who says how good samples are; made once in each process."""
        return judge(
            self.data,
            split=self.split,
            width=self.judge_width,
            hidden=self.judge_features,
            passes=self.judge_passes,
            device=self.device,
        )

    def generator(self) -> Generator:
        """A generator, drawn from torch's global generator."""
        return Generator(images(self.data, self.split).shape, self.latent, self.width).to(self.device)

    def noise(self, count: int, generator: torch.Generator) -> Tensor:
        """Noise for samples; shape (count, latent)."""
        return torch.randn(count, self.latent, generator=generator).to(self.device)

    def sheet_noise(self) -> Tensor:
        """The noise of every sheet of every member, so that they can be laid side by side."""
        return self.noise(SHOWN, torch.Generator().manual_seed(0))

    def __call__(self, slot: Slot) -> None:
        """Train members."""
        torch.set_num_threads(1)  # threads that meet after every layer of so small a net cost more than they save
        real = torch.from_numpy(images(self.data, self.split).train).to(self.device)
        judge, shown = self.judge(), self.sheet_noise()
        channels, height, width = real.shape[1:]
        rows = int(SHOWN**0.5)
        torch.manual_seed(slot.seed)
        generator = self.generator()
        discriminator = Discriminator((channels, height, width), self.width).to(self.device)
        # Momentum of 0.5 as in DCGAN (section 4); the learning rates are written by the bindings.
        generator_optimizer = torch.optim.Adam(generator.parameters(), betas=(0.5, 0.999))
        discriminator_optimizer = torch.optim.Adam(discriminator.parameters(), betas=(0.5, 0.999))
        sheets = Sheets(rows * (height + 1) - 1, rows * (width + 1) - 1, channels)
        # The networks' states have the running statistics of batch normalisation in them.
        slot.track(
            generator=generator,
            discriminator=discriminator,
            generator_optimizer=generator_optimizer,
            discriminator_optimizer=discriminator_optimizer,
            sheets=sheets.pixels,
            ages=sheets.ages,
        )
        slot.bind(generator_optimizer, lr="generator_lr")
        slot.bind(discriminator_optimizer, lr="discriminator_lr")
        for member in slot:
            for _ in range(self.steps):
                for _ in range(self.discriminator_steps):
                    self._discriminate(generator, discriminator, discriminator_optimizer, real)
                self._generate(generator, discriminator, generator_optimizer)
            sheets.add(member.age + 1, grid(sampled(generator, shown).cpu().numpy()))
            # Other samples for what is held out than for what is selected by, and new ones in each interval, so that
            # nobody is best for suiting one draw.
            scored, held_out = (
                sampled(generator, self.noise(self.samples, member.key(purpose).torch()))
                for purpose in ("score", "distance")
            )
            member.report(judge.score(scored), distance=judge.distance(held_out))

    def _discriminate(
        self, generator: nn.Module, discriminator: nn.Module, optimizer: torch.optim.Optimizer, real: Tensor
    ) -> None:
        """One step of the discriminator; real and generated images are normalised apart, as DCGAN does."""
        batch = real[torch.randint(len(real), (self.batch,)).to(real.device)]
        fake = generator(self._noise()).detach()
        loss = discriminator_loss(discriminator(batch), discriminator(fake))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def _generate(self, generator: nn.Module, discriminator: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """One step of the generator; what it leaves in the discriminator's gradients, the next step there clears."""
        loss = generator_loss(discriminator(generator(self._noise())))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def _noise(self) -> Tensor:
        """Noise to train with, from the global generator, which the slot seeds for each interval."""
        return torch.randn(self.batch, self.latent).to(self.device)

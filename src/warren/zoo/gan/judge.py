"""The classifier that samples are judged by; trained on the same images as the GANs, once in each process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from warren.zoo.gan.data import Name, images
from warren.zoo.gan.measures import frechet_distance, inception_score, moments

if TYPE_CHECKING:
    from numpy.typing import NDArray

Moments = tuple["NDArray[np.float64]", "NDArray[np.float64]"]


class Classifier(nn.Module):
    """Convolutions with batch normalisation, one hidden layer, whose values are the features, and logits.

    Args:
        shape: Channels, height and width of an image, height and width from 8 on.
        width: Channels of the first convolution; twice as many in the second, four times in the third.
        hidden: Features.
        classes: Logits.
    """

    def __init__(self, shape: tuple[int, int, int], width: int, hidden: int, classes: int) -> None:
        super().__init__()
        widths = [shape[0], width, 2 * width, 4 * width]
        halvings = 3 if shape[1] > 8 else 2  # so that 2 x 2 are left of 8 x 8 pixels
        layers: list[nn.Module] = []
        for place, (before, after) in enumerate(pairwise(widths)):
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            if place >= 3 - halvings:
                layers.append(nn.MaxPool2d(2))
        flat = widths[-1] * (shape[1] >> halvings) * (shape[2] >> halvings)
        self.features = nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, hidden), nn.ReLU())
        self.out = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (n, classes) for images of shape (n, channels, height, width)."""
        logits: Tensor = self.out(self.features(x))
        return logits


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A trained classifier with what real images come to in its eyes.

    Scores and distances of one judge can be compared with each other, and not with those of another one.

    Attributes:
        classifier: In evaluation mode.
        accuracy: Share of the test images that it knows, from 0 to 1.
        real_score: The Inception score of the test images.
        real_distance: The distance between train and test images.
        held_out: Mean and covariance of the test images' features.
    """

    classifier: Classifier
    accuracy: float
    real_score: float
    real_distance: float
    held_out: Moments

    def score(self, samples: Tensor) -> float:
        """The Inception score of samples of shape (n, channels, height, width)."""
        return inception_score(self.read(samples)[0])

    def distance(self, samples: Tensor) -> float:
        """The Fréchet distance of samples to the test images, in features."""
        return frechet_distance(moments(self.read(samples)[1]), self.held_out)

    def read(self, samples: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Probabilities of shape (n, classes) and features of shape (n, hidden)."""
        return read(self.classifier, samples)


def read(classifier: Classifier, samples: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What a classifier in evaluation mode makes of images.

    Args:
        classifier: In evaluation mode.
        samples: Shape (n, channels, height, width).

    Returns:
        Probabilities of shape (n, classes) and features of shape (n, hidden).
    """
    with torch.no_grad():
        features = torch.cat([classifier.features(part) for part in torch.split(samples, 1000)])
        probabilities = F.softmax(classifier.out(features).double(), dim=1)  # in float32, rows do not sum to 1
    return probabilities.cpu().numpy(), features.double().cpu().numpy()


@lru_cache(maxsize=2)  # trained once a process, not once a member
def judge(
    data: Name, *, split: int = 0, width: int = 16, hidden: int = 32, passes: int = 8, device: str = "cpu"
) -> Judge:
    """The judge of a data set, the same in every process that trains it on a CPU, by as many threads.

    On a GPU that is not shown: cuDNN's backward passes may add up in another order each time.

    Args:
        data: As for `images`.
        split: As for `images`.
        width: Of the classifier.
        hidden: Of the classifier; few beside the test images, so that their covariance is known well.
        passes: Over the training images.
        device: As torch names it.

    Raises:
        MissingExtra: The data need a package that is not installed.
        InvalidValue: The data are not on disk.
    """
    real = images(data, split)
    train, test = (torch.from_numpy(part).to(device) for part in (real.train, real.test))
    labels = torch.from_numpy(real.train_labels).to(device)
    # In a fork of torch's generators: what a member draws must not depend on who needed the judge first.
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(split)
        classifier = Classifier(real.shape, width, hidden, int(labels.max()) + 1).to(device)
        _fit(classifier, train, labels, passes)
    classifier.eval()
    probabilities, features = read(classifier, test)
    held_out = moments(features)
    return Judge(
        classifier=classifier,
        accuracy=float((probabilities.argmax(1) == real.test_labels).mean()),
        real_score=inception_score(probabilities),
        real_distance=frechet_distance(moments(read(classifier, train)[1]), held_out),
        held_out=held_out,
    )


def _fit(classifier: Classifier, train: Tensor, labels: Tensor, passes: int) -> None:
    """Adam with one cycle of the learning rate (Smith and Topin 2017), so that the length alone has to be chosen."""
    batch = 64
    optimizer = torch.optim.Adam(classifier.parameters(), weight_decay=1e-4)
    steps = passes * (len(labels) // batch)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps)
    for _ in range(passes):
        order = torch.randperm(len(labels)).to(labels.device)
        for rows in torch.split(order[: len(labels) // batch * batch], batch):
            loss = F.cross_entropy(classifier(train[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            scheduler.step()

"""A small GPT on the characters of Python's own documentation: one file, plain PyTorch.

    python gpt.py                      # half a minute on one core
    GPT_EPOCHS=2 GPT_WIDTH=32 python gpt.py

It reads the help texts that come with every Python (`pydoc_data.topics`, half a megabyte of English), trains a
decoder-only transformer to predict the next character, keeps the weights with the best validation loss, and ends with
the loss on text that nothing was chosen by and a sample.
"""

# ruff: noqa: I001

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, fields
from pydoc_data.topics import topics

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from warren import Float, run


# --- configuration ---------------------------------------------------------------------------------------------------


@dataclass
class Config:
    """What can be set. The environment wins: GPT_DROPOUT=0.2 sets `dropout`."""

    # model
    context: int = 64  # characters that a prediction may look back on
    layers: int = 2
    heads: int = 4
    width: int = 64
    dropout: float = 0.1
    bias: bool = False  # in linear layers and layer norms
    # training
    epochs: int = 20  # each ends with an evaluation
    steps: int = 30  # optimizer steps in an epoch
    batch: int = 16  # sequences in a minibatch
    accumulate: int = 1  # minibatches in a step
    # optimizer
    lr: float = 3e-3  # at its peak
    lr_floor: float = 0.1  # where the cosine ends, as a part of the peak
    warmup: int = 50  # steps
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.98
    clip: float = 1.0  # largest norm of the gradient; 0: not clipped
    # evaluation
    eval_batches: int = 10
    # output
    checkpoint: str = "gpt.pt"
    sample: int = 400  # characters
    temperature: float = 0.8
    top: int = 20  # a sample chooses among this many characters
    # the rest
    seed: int = 1
    device: str = "cuda" if torch.cuda.is_available() else "cpu"
    threads: int = 1  # of the CPU; a net as small as this one gains little from more

    @classmethod
    def from_environment(cls) -> Config:
        """The defaults, with what the environment says otherwise."""
        config = cls()
        for field in fields(cls):
            text = os.environ.get(f"GPT_{field.name.upper()}")
            if text is not None:
                kind = type(field.default)
                setattr(config, field.name, text == "True" if kind is bool else kind(text))
        return config


config = Config.from_environment()
space = {"lr": Float(1e-4, 3e-2, scale="log"), "weight_decay": Float(1e-3, 1.0, scale="log"), "dropout": Float(0, 0.4)}
torch.manual_seed(config.seed)
torch.set_num_threads(config.threads)


# --- data ------------------------------------------------------------------------------------------------------------


class Tokenizer:
    """Characters as whole numbers, in the order of the alphabet.

    Args:
        text: Holds every character that will be met.
    """

    def __init__(self, text: str) -> None:
        self.characters = sorted(set(text))
        self.number = {character: i for i, character in enumerate(self.characters)}

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> Tensor:
        """Numbers of shape (len(text),)."""
        return torch.tensor([self.number[character] for character in text])

    def decode(self, numbers: Tensor) -> str:
        """The text of numbers of shape (n,)."""
        return "".join(self.characters[i] for i in numbers.tolist())


def load_text() -> str:
    """The help texts, by topic."""
    return "\n\n".join(f"{name.upper()}\n\n{topics[name].strip()}" for name in sorted(topics))


def split(tokens: Tensor) -> dict[str, Tensor]:
    """Eight tenths to train on, one to choose by, one to judge by at the end."""
    first, second = int(0.8 * len(tokens)), int(0.9 * len(tokens))
    return {"train": tokens[:first], "val": tokens[first:second], "test": tokens[second:]}


text = load_text()
tokenizer = Tokenizer(text)
data = split(tokenizer.encode(text))


def get_batch(part: str, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Random stretches of a part and the same moved on by one, both of shape (batch, context)."""
    tokens = data[part]
    starts = torch.randint(len(tokens) - config.context, (config.batch,), generator=generator)
    places = starts[:, None] + torch.arange(config.context)
    return tokens[places].to(config.device), tokens[places + 1].to(config.device)


# --- model -----------------------------------------------------------------------------------------------------------


class Attention(nn.Module):
    """Causal self-attention with several heads."""

    def __init__(self) -> None:
        super().__init__()
        if config.width % config.heads:
            raise ValueError(f"width={config.width} must be a multiple of heads={config.heads}")
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=config.bias)
        self.out = nn.Linear(config.width, config.width, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, width) to the same shape."""
        batch, length, width = x.shape
        q, k, v = (
            part.view(batch, length, config.heads, width // config.heads).transpose(1, 2)
            for part in self.qkv(x).split(width, dim=2)
        )
        dropout = config.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        y = self.out(y.transpose(1, 2).reshape(batch, length, width))
        return F.dropout(y, config.dropout, self.training)


class MLP(nn.Module):
    """Two linear layers, four times as wide between them."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(config.width, 4 * config.width, bias=config.bias)
        self.out = nn.Linear(4 * config.width, config.width, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, width) to the same shape."""
        return F.dropout(self.out(F.gelu(self.hidden(x))), config.dropout, self.training)


class Block(nn.Module):
    """Attention, then the MLP, each normalised before and added after."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, bias=config.bias)
        self.attention = Attention()
        self.norm2 = nn.LayerNorm(config.width, bias=config.bias)
        self.mlp = MLP()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, width) to the same shape."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    """A decoder-only transformer whose input and output embeddings are one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Embedding(len(tokenizer), config.width)
        self.position = nn.Embedding(config.context, config.width)
        self.blocks = nn.ModuleList(Block() for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width, bias=config.bias)
        self.head = nn.Linear(config.width, len(tokenizer), bias=False)
        self.head.weight = self.token.weight
        self.apply(self._init_weights)
        for name, parameter in self.named_parameters():
            if name.endswith("out.weight"):  # two of them add to the residual stream in each block
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * config.layers))

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, x: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Logits of shape (batch, time, characters) and, with targets, the mean cross-entropy in nats."""
        h = self.token(x) + self.position(torch.arange(x.shape[1], device=x.device))
        h = F.dropout(h, config.dropout, self.training)
        for block in self.blocks:
            h = block(h)
        logits = self.head(self.norm(h))
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    @torch.no_grad()
    def generate(self, prompt: Tensor, length: int) -> Tensor:
        """Numbers of shape (n + length,) that begin with a prompt of shape (n,)."""
        self.eval()
        numbers = prompt[None].to(config.device)
        for _ in range(length):
            logits, _ = self(numbers[:, -config.context :])
            logits = logits[:, -1] / config.temperature
            least = logits.topk(min(config.top, len(tokenizer))).values[:, -1:]
            chances = F.softmax(logits.masked_fill(logits < least, -math.inf), dim=-1)
            numbers = torch.cat([numbers, torch.multinomial(chances, 1)], dim=1)
        return numbers[0]


# --- optimizer -------------------------------------------------------------------------------------------------------


def make_optimizer(model: nn.Module) -> torch.optim.AdamW:
    """AdamW in two groups: matrices decay; biases and the gains of norms do not."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(config.beta1, config.beta2))


def warmup_then_cosine(step: int) -> float:
    """The learning rate of a step as a part of its peak."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    done = min(1.0, (step - config.warmup) / max(1, config.epochs * config.steps - config.warmup))
    return config.lr_floor + (1 - config.lr_floor) * (1 + math.cos(math.pi * done)) / 2


# --- training --------------------------------------------------------------------------------------------------------


@torch.no_grad()
def evaluate(model: GPT, part: str) -> float:
    """Mean loss on a part, on the same batches every time."""
    model.eval()
    generator = torch.Generator().manual_seed(0)
    losses = [model(*get_batch(part, generator))[1].item() for _ in range(config.eval_batches)]
    return sum(losses) / len(losses)


def train(slot) -> None:
    """Train from fresh weights; each epoch ends with an evaluation."""
    model = GPT().to(config.device)
    optimizer = make_optimizer(model)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, warmup_then_cosine)
    slot.track(model=model, optimizer=optimizer, scheduler=scheduler)
    slot.bind(optimizer, "lr", "weight_decay", scheduler=scheduler)
    for member in slot:
        config.dropout = member["dropout"]
        model.train()
        for _ in range(config.steps):
            for _ in range(config.accumulate):
                _, loss = model(*get_batch("train"))
                (loss / config.accumulate).backward()
            if config.clip:
                nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad(set_to_none=True)
        val = evaluate(model, "val")
        member.report(-val, train=evaluate(model, "train"), test=evaluate(model, "test"))


if __name__ == "__main__":
    start = time.perf_counter()
    result = run(train, space=space, goal="max", held_out="test", intervals=config.epochs, store="runs/gpt.db")
    model = GPT().to(config.device)
    result.best.load(model=model)
    print(f"best weights: val {evaluate(model, 'val'):.4f}  test {evaluate(model, 'test'):.4f}")
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {time.perf_counter() - start:.0f} s\n")
    print(tokenizer.decode(model.generate(tokenizer.encode("The "), config.sample)))

"""Training functions with one planted fault each, and some without; in PyTorch."""

from __future__ import annotations

import copy
from typing import Any

import torch

import warren

LR = {"lr": warren.Float(1e-3, 1e-1, scale="log")}
DATA = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
LABELS = DATA.sum(1, keepdim=True)


class Classifier(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Linear(4, 8)
        self.norm = torch.nn.BatchNorm1d(8)
        self.drop = torch.nn.Dropout(0.2)
        self.head = torch.nn.Linear(8, 1)

    def forward(self, x: Any) -> Any:
        return self.head(self.drop(torch.relu(self.norm(self.body(x)))))


def objects(lr: float = 0.01) -> tuple[Any, Any]:
    net = Classifier()
    return net, torch.optim.Adam(net.parameters(), lr=lr)


def step(net: Any, opt: Any, rows: Any) -> None:
    opt.zero_grad()
    ((net(DATA[rows]) - LABELS[rows]) ** 2).mean().backward()
    opt.step()


def train_once(net: Any, opt: Any) -> None:
    net.train()
    for rows in torch.randperm(64).split(16):
        step(net, opt, rows)


@torch.no_grad()
def evaluate(net: Any) -> float:
    net.eval()
    return -float(((net(DATA) - LABELS) ** 2).mean())


@torch.no_grad()
def validate(net: Any) -> float:
    return -float(((net(DATA) - LABELS) ** 2).mean())


def sound(slot: warren.Slot) -> None:
    net, opt = objects()
    scheduler = torch.optim.lr_scheduler.StepLR(opt, 3, 0.9)
    scaler = torch.amp.GradScaler("cpu") if hasattr(torch.amp, "GradScaler") else torch.nn.Identity()
    slot.track(net=net, opt=opt, scheduler=scheduler, scaler=scaler)
    slot.bind(opt, "lr", scheduler=scheduler)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(DATA, LABELS), batch_size=16, shuffle=True)
    history = []
    for member in slot:
        net.train()
        total = 0.0
        for inputs, labels in loader:
            opt.zero_grad()
            loss = ((net(inputs) - labels) ** 2).mean()
            loss.backward()
            opt.step()
            scheduler.step()
            total += loss.item()
        history.append(total)
        member.report(evaluate(net))


def optimizer_untracked(slot: warren.Slot) -> None:
    net, opt = objects()
    slot.track(net=net)
    slot.bind(opt, "lr")
    for member in slot:
        train_once(net, opt)
        member.report(evaluate(net))


def schedule_overwrites(slot: warren.Slot) -> None:
    net, opt = objects()
    scheduler = torch.optim.lr_scheduler.LambdaLR(opt, lambda count: 0.99**count)
    slot.track(net=net, opt=opt, scheduler=scheduler)
    for member in slot:
        for group in opt.param_groups:
            group["lr"] = member["lr"]
        for _ in range(3):
            train_once(net, opt)
            scheduler.step()
        member.report(evaluate(net))


def average_untracked(slot: warren.Slot) -> None:
    net, opt = objects()
    ema = copy.deepcopy(net)
    slot.track(net=net, opt=opt)
    slot.bind(opt, "lr")
    for member in slot:
        train_once(net, opt)
        with torch.no_grad():
            for mine, its in zip(ema.state_dict().values(), net.state_dict().values(), strict=True):
                mine.copy_(0.5 * mine + 0.5 * its)
        member.report(evaluate(ema))


def scheduler_untracked(slot: warren.Slot) -> None:
    net, opt = objects()
    scheduler = torch.optim.lr_scheduler.StepLR(opt, 1, 0.5)
    slot.track(net=net, opt=opt)
    slot.bind(opt, "lr", scheduler=scheduler)
    for member in slot:
        for _ in range(2):
            train_once(net, opt)
            scheduler.step()
        member.report(evaluate(net))


def evaluation_trains(slot: warren.Slot) -> None:
    net, opt = objects()
    slot.track(net=net, opt=opt)
    slot.bind(opt, "lr")
    for member in slot:
        train_once(net, opt)
        member.report(validate(net))


def evaluation_in_the_loop_trains(slot: warren.Slot) -> None:
    net, opt = objects()
    slot.track(net=net, opt=opt)
    slot.bind(opt, "lr")
    for member in slot:
        train_once(net, opt)
        with torch.no_grad():
            loss = ((net(DATA) - LABELS) ** 2).mean()
        member.report(-loss)


def teacher(slot: warren.Slot) -> None:
    net, opt = objects()
    old = copy.deepcopy(net)
    slot.track(net=net, opt=opt, old=old)
    slot.bind(opt, "lr")
    for member in slot:
        net.train()
        for rows in torch.randperm(64).split(16):
            with torch.no_grad():
                target = old(DATA[rows])  # a teacher in training mode, as some methods want it
            opt.zero_grad()
            (((net(DATA[rows]) - LABELS[rows]) ** 2).mean() + ((net(DATA[rows]) - target) ** 2).mean()).backward()
            opt.step()
            with torch.no_grad():
                for mine, its in zip(old.parameters(), net.parameters(), strict=True):
                    mine.mul_(0.9).add_(0.1 * its)
        member.report(evaluate(net))


def teacher_by_hand(slot: warren.Slot) -> None:
    net, old = Classifier(), Classifier()
    slot.track(net=net, old=old)
    for member in slot:
        net.train()
        for rows in torch.randperm(64).split(16):
            with torch.no_grad():
                target = old(DATA[rows])
            loss = ((net(DATA[rows]) - target) ** 2).mean() + ((net(DATA[rows]) - LABELS[rows]) ** 2).mean()
            for weights, slope in zip(net.parameters(), torch.autograd.grad(loss, net.parameters()), strict=True):
                weights.data -= member["lr"] * slope
        member.report(evaluate(net))


def only_remembered(slot: warren.Slot) -> None:
    net, opt = objects()
    slot.track(net=net, opt=opt)
    for member in slot:
        for group in opt.param_groups:
            group["rate"] = 2 * member["rate"]  # which Adam does not know
        train_once(net, opt)
        member.report(evaluate(net))


def generator_seeded(slot: warren.Slot) -> None:
    net, opt = objects()
    order = torch.Generator().manual_seed(slot.seed)
    slot.track(net=net, opt=opt)
    slot.bind(opt, "lr")
    for member in slot:
        net.train()
        for rows in torch.randperm(64, generator=order).split(16):
            step(net, opt, rows)
        member.report(evaluate(net))


ORDER = torch.Generator().manual_seed(0)


def generator_global(slot: warren.Slot) -> None:
    net, opt = objects()
    slot.track(net=net, opt=opt)
    slot.bind(opt, "lr")
    for member in slot:
        net.train()
        for rows in torch.randperm(64, generator=ORDER).split(16):
            step(net, opt, rows)
        member.report(evaluate(net))


def data_keeps_its_place(slot: warren.Slot) -> None:
    net, opt = objects()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(DATA, LABELS), batch_size=8)
    batches = iter(loader)
    slot.track(net=net, opt=opt)
    slot.bind(opt, "lr")
    for member in slot:
        net.train()
        for _ in range(2):
            inputs, labels = next(batches)
            opt.zero_grad()
            ((net(inputs) - labels) ** 2).mean().backward()
            opt.step()
        member.report(evaluate(net))


class Counting(Classifier):
    """Keeps a number that its state_dict does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, x: Any) -> Any:
        self.seen += self.training
        return super().forward(x) / (1 + 0.1 * self.seen)


def state_lossy(slot: warren.Slot) -> None:
    net = Counting()
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    slot.track(net=net, opt=opt)
    slot.bind(opt, "lr")
    for member in slot:
        train_once(net, opt)
        member.report(evaluate(net))


def never_applied(slot: warren.Slot) -> None:
    net, opt = objects()
    slot.track(net=net, opt=opt)
    for member in slot:
        opt.defaults["lr"] = member["lr"]  # which the groups do not follow
        train_once(net, opt)
        member.report(evaluate(net))

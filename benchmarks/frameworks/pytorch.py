"""The models in plain PyTorch, trained by the loop that its users write."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from rows import HEADS, INNER, ROWS, TOKENS, VOCABULARY, WIDTH
from torch import nn
from torch.nn import functional as F


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm_1 = nn.Conv2d(3, 64, 3, padding=1), nn.BatchNorm2d(64)
        self.second, self.norm_2 = nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64)
        self.shortcut, self.out = nn.Conv2d(3, 64, 1), nn.Linear(64, 10)

    def forward(self, image: Any) -> Any:
        x = F.relu(self.norm_1(self.first(image)))
        x = F.relu(self.norm_2(self.second(x)) + self.shortcut(image))
        return self.out(x.mean((2, 3)))


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.text = nn.Conv2d(3, 32, 3), nn.Linear(100, 64)
        self.out = nn.Linear(30 * 30 * 32 + 64, 1)

    def forward(self, image: Any, text: Any) -> Any:
        x = F.relu(self.conv(image)).flatten(1)
        return self.out(torch.cat([x, F.relu(self.text(text))], 1))


class ConvNorm(nn.Sequential):
    def __init__(self, width: int, filters: int, size: int, stride: int) -> None:
        conv = nn.Conv2d(width, filters, size, stride, padding=size // 2, bias=False)
        super().__init__(conv, nn.BatchNorm2d(filters))


class ResidualBlock(nn.Module):
    def __init__(self, width: int, filters: int, stride: int) -> None:
        super().__init__()
        self.first = ConvNorm(width, filters, 3, stride)
        self.second = ConvNorm(filters, filters, 3, 1)
        self.shortcut = ConvNorm(width, filters, 1, stride) if stride == 2 else nn.Identity()

    def forward(self, x: Any) -> Any:
        return F.relu(self.shortcut(x) + self.second(F.relu(self.first(x))))


class ResNet20(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        blocks, width = [], 16
        for filters in (16, 32, 64):
            for block in range(3):
                stride = 2 if filters > 16 and block == 0 else 1
                blocks.append(ResidualBlock(width, filters, stride))
                width = filters
        self.stem, self.blocks = ConvNorm(3, 16, 3, 1), nn.Sequential(*blocks)
        self.out = nn.Linear(64, 10)

    def forward(self, x: Any) -> Any:
        return self.out(self.blocks(F.relu(self.stem(x))).mean((2, 3)))


class InceptionBlock(nn.Module):
    def __init__(self, width: int, filters: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(width, filters, 1)
        self.three_reduce = nn.Conv2d(width, filters // 2, 1)
        self.three = nn.Conv2d(filters // 2, filters, 3, padding=1)
        self.five_reduce = nn.Conv2d(width, filters // 2, 1)
        self.five = nn.Conv2d(filters // 2, filters, 5, padding=2)
        self.pooled = nn.Conv2d(width, filters, 1)

    def forward(self, x: Any) -> Any:
        towers = [
            self.one(x),
            self.three(F.relu(self.three_reduce(x))),
            self.five(F.relu(self.five_reduce(x))),
            self.pooled(F.max_pool2d(x, 3, 1, padding=1)),
        ]
        return torch.cat([F.relu(tower) for tower in towers], 1)


class Inception(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.first, self.second = InceptionBlock(32, 16), InceptionBlock(64, 32)
        self.out = nn.Linear(128, 10)

    def forward(self, x: Any) -> Any:
        x = F.max_pool2d(self.first(F.relu(self.stem(x))), 2)
        return self.out(self.second(x).mean((2, 3)))


class TransformerBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.attended = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.inner, self.outer = nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH)
        self.norm_1, self.norm_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, x: Any) -> Any:
        batch, steps, _ = x.shape
        heads = self.qkv(x).view(batch, steps, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(heads[0], heads[1], heads[2])
        x = self.norm_1(x + self.attended(seen.transpose(1, 2).reshape(batch, steps, WIDTH)))
        return self.norm_2(x + self.outer(F.gelu(self.inner(x))))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Parameter(torch.rand(TOKENS, WIDTH) * 0.1 - 0.05)
        self.blocks = nn.Sequential(TransformerBlock(), TransformerBlock())
        self.out = nn.Linear(WIDTH, 10)
        nn.init.uniform_(self.embedding.weight, -0.05, 0.05)

    def forward(self, tokens: Any) -> Any:
        x = self.blocks(self.embedding(tokens) + self.positions)
        return self.out(x.mean(1))


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(32, 64, batch_first=True), nn.Linear(64, 10)
        self.lstm.bias_hh_l0.requires_grad_(False).zero_()  # Keras' LSTM has one bias

    def forward(self, x: Any) -> Any:
        outputs, _ = self.lstm(x)
        return self.out(outputs[:, -1])


def _stack(*widths: int) -> nn.Sequential:
    parts: list[nn.Module] = [nn.Flatten()]
    for width, units in itertools.pairwise(widths[:-1]):
        parts += [nn.Linear(width, units), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(*widths[-2:]))


MODELS = {
    "touchstone-1": lambda: _stack(784, 128, 10),
    "touchstone-2": Residual,
    "touchstone-3": TwoInputs,
    "resnet20": ResNet20,
    "inception": Inception,
    "transformer": Transformer,
    "lstm": Lstm,
    "wide-mlp": lambda: _stack(784, 2048, 2048, 10),
}


class Eager:
    """A model, its optimizer and its loop."""

    def __init__(self, name: str) -> None:
        self.row = ROWS[name]
        torch.manual_seed(0)
        self.model: Any = MODELS[name]()
        if self.row.convolutions:
            self.model = self.model.to(memory_format=torch.channels_last)
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.parameters = sum(weight.numel() for weight in weights)
        if self.row.optimizer == "momentum":
            self.optimizer: Any = torch.optim.SGD(weights, 0.05, momentum=0.9, fused=True)
        else:
            self.optimizer = torch.optim.Adam(weights, 1e-3, fused=True)

    def fit(self, x: Any, y: Any, epochs: int) -> list[float]:
        """Train; return the loss of each epoch."""
        inputs, labels = [_tensor(part) for part in _listed(x)], torch.from_numpy(y)
        labels = labels.long() if self.row.classes > 2 else labels.float()[:, None]
        loss_of = F.cross_entropy
        if self.row.classes == 2:
            loss_of = F.binary_cross_entropy_with_logits
        losses = []
        self.model.train()
        for _ in range(epochs):
            total = torch.zeros(())
            batches = torch.randperm(len(labels)).split(self.row.batch)
            for rows in batches:
                self.optimizer.zero_grad()
                loss = loss_of(self.model(*(part[rows] for part in inputs)), labels[rows])
                loss.backward()
                self.optimizer.step()
                total += loss.detach()
            losses.append(total.item() / len(batches))
        return losses

    def predict(self, x: Any) -> np.ndarray:
        self.model.eval()
        with torch.inference_mode():
            outputs = self.model(*(_tensor(part) for part in _listed(x)))
            return outputs.softmax(1).numpy()

    call = predict


class Compiled(Eager):
    """The same through torch.compile."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.model = torch.compile(self.model)


def _listed(x: Any) -> list[Any]:
    return x if isinstance(x, list) else [x]


def _tensor(array: np.ndarray) -> torch.Tensor:
    """Return images as channels-first views of channels-last memory, all else as it is."""
    tensor = torch.from_numpy(array)
    return tensor.permute(0, 3, 1, 2) if tensor.ndim == 4 else tensor

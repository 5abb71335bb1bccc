"""Muon for matrices and convolutions, AdamW for all other parameters.

Muon (Keller Jordan et al., 2024) replaces the momentum of a matrix by its nearest semi-orthogonal matrix. This U-Net
needs about half as many samples with it as with AdamW only.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # the quintic of the Muon paper: singular values to about 1 in five steps
ADAMW_ONLY = ("embedding", "conv_in", "conv_out")


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Matrices float32 (N, rows, columns) -> same shape, singular values near 1.

    Every Newton-Schulz iterate is a polynomial of the first Gram matrix times the input, so all steps are done on
    the Gram matrix of the shorter side: a third of the work for convolutions, which are nine times wider than high.
    """
    tall = matrices.size(-2) > matrices.size(-1)
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = NEWTON_SCHULZ
    gram = x @ x.mT  # (N, rows, rows), the shorter side
    identity = torch.eye(gram.size(-1))
    product = identity
    for _ in range(steps):
        factor = a * identity + b * gram + c * gram @ gram
        product = factor @ product
        gram = factor @ gram @ factor  # all are polynomials of one symmetric matrix: they commute
    x = product @ x
    result: Tensor = x.mT if tall else x
    return result


class Muon(torch.optim.Optimizer):
    """Muon for parameters of two or more dimensions; a convolution is flattened to (out, in * height * width).

    The update's root mean square is 0.2 for every shape, close to AdamW's, so that one learning rate suits both.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.01
    ):
        super().__init__(list(parameters), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[tuple[nn.Parameter, Tensor]]] = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                nesterov = parameter.grad.lerp(state["momentum"], group["momentum"]).flatten(1)
                by_shape.setdefault(nesterov.shape, []).append((parameter, nesterov))
            for shape, members in by_shape.items():
                updates = orthogonalise(torch.stack([matrix for _, matrix in members])) * 0.2 * max(shape) ** 0.5
                for (parameter, _), update in zip(members, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update.view_as(parameter), alpha=-group["lr"])


def make_optimizers(unet: nn.Module, text_encoder: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    """Make Muon at 2 lr, and AdamW at lr for the U-Net's other parameters and at 3 lr for word embeddings, which occur rarely."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    words: list[nn.Parameter] = []
    for name, parameter in unet.named_parameters():
        muon = parameter.ndim >= 2 and not any(part in name for part in ADAMW_ONLY)
        (matrices if muon else others).append(parameter)
    for name, parameter in text_encoder.named_parameters():
        muon = parameter.ndim >= 2 and not any(part in name for part in ADAMW_ONLY)
        (matrices if muon else words).append(parameter)
    adamw = torch.optim.AdamW(
        [{"params": others, "lr": lr}, {"params": words, "lr": 3 * lr}], betas=(0.9, 0.99), weight_decay=0.0, fused=True
    )
    return [Muon(matrices, lr=2 * lr), adamw]

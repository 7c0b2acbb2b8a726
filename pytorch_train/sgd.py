"""Stochastic gradient descent with momentum, number for number that of torch.optim.SGD.

Making the first optimizer of torch.optim imports torch's compiler: some 900 modules, which cost a
second and 145 MB here, thousands of files to be hashed in an enclave, and fail where no temporary
folder can be written.
"""

from __future__ import annotations

from typing import Iterable

import torch


class Sgd:
    """Take steps against the gradient, with momentum."""

    def __init__(
        self, weights: Iterable[torch.Tensor], *, learning_rate: float, momentum: float
    ) -> None:
        self._weights = list(weights)
        self._learning_rate, self._momentum = learning_rate, momentum
        self.velocities = [torch.zeros_like(weight) for weight in self._weights]

    def zero_grad(self) -> None:
        """Forget the gradients of the last step."""
        for weight in self._weights:
            weight.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Change every weight that has a gradient."""
        for weight, velocity in zip(self._weights, self.velocities):
            if weight.grad is not None:
                velocity.mul_(self._momentum).add_(weight.grad)
                weight.add_(velocity, alpha=-self._learning_rate)

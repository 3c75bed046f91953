"""Pooling over windows as a torch module."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from pipeline.layer_spec import PoolSpec


class Pool(nn.Module):
    """x (T, B, n_in) counts -> (T, B, n_out): sums, means or, of `max`, 0 and 1, over the windows of the spec."""

    def __init__(self, spec: PoolSpec) -> None:
        super().__init__()
        self.like = spec

    def forward(self, x: Tensor) -> Tensor:
        spec, (ticks, width) = self.like, x.shape[:2]
        image = x.reshape(ticks * width, *spec.shape_in)
        if spec.how == "max":
            pooled = functional.max_pool2d(image, spec.size, spec.stride).clamp(0, 1)
        else:
            pooled = functional.avg_pool2d(image, spec.size, spec.stride, divisor_override=1)
            if spec.how == "average":
                pooled = pooled * float(np.float32(1.0 / (spec.size[0] * spec.size[1])))
        return pooled.reshape(ticks, width, spec.n_out)

    def spec(self) -> PoolSpec:
        return self.like

"""torchao's search for batch norms of quantisation-aware training, left out after calibration, which makes none.

Of a net with a batch norm of its own, `convert_pt2e` (torchao 0.18) traces 96 patterns of convolutions and matches each: half a
minute for every set of layers that is tried. Convolutions' own batch norms are folded before; the graph comes out the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


@contextmanager
def without_qat(quantize_pt2e: ModuleType) -> Iterator[None]:
    """Leave the search out for a moment; where torchao has no such step, nothing changes.

    Args:
        quantize_pt2e: torchao's module that converts.
    """
    name = "_fold_conv_bn_qat"
    fold = getattr(quantize_pt2e, name, None)
    if fold is None:
        yield
        return

    def unchanged(module: Any) -> Any:
        return module

    setattr(quantize_pt2e, name, unchanged)
    try:
        yield
    finally:
        setattr(quantize_pt2e, name, fold)

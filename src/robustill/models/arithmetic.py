"""What a machine computes fast in."""

from __future__ import annotations

import torch


def fast_bfloat16(device: torch.device) -> bool:
    """Return whether a device computes convolutions and matrix products faster in bfloat16 than in float32.

    CUDA devices from Ampere on, and CPUs with AMX. With AVX-512 BF16 alone, bfloat16 takes 1.1 to 1.5 times as long
    (results/attack-speed.md); with neither it is emulated, at a tenth of the speed.

    >>> import torch
    >>> fast_bfloat16(torch.device("meta"))
    False
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_amx_tile_supported())

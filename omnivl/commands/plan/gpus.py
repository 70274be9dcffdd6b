"""What a card can hold and compute: the makers' figures, and this machine's CPU by measurement."""

import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

GIB = 1 << 30
MATRIX = 1024  # side of the product that a CPU is measured with
CPU = 'cpu'


@dataclass(frozen=True)
class GPU:
    """A card, as its maker states it.

    Attributes:
        title: Its name in full.
        memory: Bytes; the GB of a data sheet are 2^30 bytes, as in the sizes that drivers report.
        half: Peak of bf16 matrix products (fp16 where there is no bf16) with fp32 sums, without sparsity, FLOP/s.
        single: Peak in fp32 outside of the tensor cores, which PyTorch uses unless told otherwise, FLOP/s.
        bandwidth: Of its memory, bytes per second; None = not known.
        link: To the other cards of a machine, bytes per second, both directions together; None = not known.
        bf16: Whether it computes in bf16.
        source: Where the figures are from.
    """

    title: str
    memory: int
    half: float
    single: float
    bandwidth: float | None
    link: float | None
    source: str
    bf16: bool = True


# Data sheets give products of tensor cores "with sparsity" where twice as much as here stands.
GPUS = {
    'h100': GPU('NVIDIA H100 SXM', 80 * GIB, 989e12, 67e12, 3350e9, 900e9, 'NVIDIA H100 data sheet'),
    'h200': GPU('NVIDIA H200 SXM', 141 * GIB, 989e12, 67e12, 4800e9, 900e9, 'NVIDIA H200 data sheet'),
    'a100-40': GPU('NVIDIA A100 40GB SXM', 40 * GIB, 312e12, 19.5e12, 1555e9, 600e9, 'NVIDIA A100 data sheet'),
    'a100-80': GPU('NVIDIA A100 80GB SXM', 80 * GIB, 312e12, 19.5e12, 2039e9, 600e9, 'NVIDIA A100 data sheet'),
    'v100': GPU('NVIDIA V100 32GB SXM2', 32 * GIB, 125e12, 15.7e12, 900e9, 300e9, 'NVIDIA V100 data sheet', bf16=False),
    'l40s': GPU('NVIDIA L40S', 48 * GIB, 362e12, 91.6e12, 864e9, 64e9, 'NVIDIA L40S data sheet'),
    '4090': GPU(
        'NVIDIA GeForce RTX 4090', 24 * GIB, 165.2e12, 82.6e12, 1008e9, 64e9, 'NVIDIA Ada GPU architecture paper'
    ),
}
NAMES = (*GPUS, CPU)


def find_gpu(name: str, memory_gb: float | None = None, tflops: float | None = None) -> GPU:
    """Return a card of the table, with another memory (2^30 bytes) or peak (1e12 FLOP/s, of any precision) if given."""
    gpu = measure_cpu() if name == CPU else GPUS[name]
    if memory_gb is not None:
        gpu = replace(gpu, memory=int(memory_gb * GIB), source=f'{gpu.source}; memory as given')
    if tflops is not None:
        gpu = replace(gpu, half=tflops * 1e12, single=tflops * 1e12, source=f'{gpu.source}; peak as given')
    return gpu


def measure_cpu() -> GPU:
    """Measure matrix products on this machine, which takes about a second."""
    import torch

    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    single, half = (_matrix_rate(dtype) for dtype in (torch.float32, torch.bfloat16))
    title = f'CPU of this machine with {torch.get_num_threads()} threads'
    return GPU(title, memory, half, single, None, None, f'measured here: products of {MATRIX} x {MATRIX} matrices')


def _matrix_rate(dtype: 'torch.dtype', seconds: float = 0.3) -> float:
    """Return the FLOP/s of the fastest of the products that fit into some seconds."""
    import torch

    left, right = torch.ones(2, MATRIX, MATRIX, dtype=dtype)
    best, end = 0.0, time.perf_counter() + seconds
    while best == 0.0 or time.perf_counter() < end:
        begin = time.perf_counter()
        left @ right
        best = max(best, 2 * MATRIX**3 / (time.perf_counter() - begin))
    return best

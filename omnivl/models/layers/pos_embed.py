"""Position embeddings fitted to other resolutions and clip lengths (OmniVL, implementation paragraph of section 4)."""

import math

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor

from omnivl.errors import OmniVLValueError


def resize_space_embedding(embedding: Tensor, old_grid: tuple[int, int], new_grid: tuple[int, int]) -> Tensor:
    """Fit a spatial position embedding to another grid of patches; the entry of [CLS] stays as it is.

    The paper interpolates and does not say how; bicubic with antialiasing is timm's choice for images.

    Args:
        embedding: float (1, 1 + P, D), [CLS] first.
        old_grid: Rows and columns of patches it was made for, with P = rows * columns.
        new_grid: Rows and columns wanted.

    Returns:
        float (1, 1 + P', D); the very same tensor when the grids are equal.

    Raises:
        OmniVLValueError: ``old_grid`` does not multiply to P.
    """
    if old_grid[0] * old_grid[1] != embedding.shape[1] - 1:
        raise OmniVLValueError(
            f'a grid of {old_grid[0]}x{old_grid[1]} patches needs {old_grid[0] * old_grid[1]} positions, '
            f'got an embedding with {embedding.shape[1] - 1} beside [CLS]'
        )
    if old_grid == new_grid:
        return embedding
    cls, patches = embedding[:, :1], embedding[:, 1:]
    patches = patches.reshape(1, *old_grid, -1).permute(0, 3, 1, 2).float()  # (1, D, rows, columns)
    patches = F.interpolate(patches, size=new_grid, mode='bicubic', antialias=True, align_corners=False)
    patches = patches.flatten(2).transpose(1, 2).to(embedding.dtype)  # (1, P', D)
    return F.pad(patches, (0, 0, 1, 0)) + F.pad(cls, (0, 0, 0, patches.shape[1]))


def fit_space_embedding(state_dict: dict[str, Tensor], name: str, own: Tensor, grid: tuple[int, int]) -> None:
    """Interpolate, in place and with a line in the log, the spatial position embedding of weights of another size.

    Args:
        state_dict: Weights about to be loaded; an embedding of the right size, or of another width, stays untouched.
        name: Its key there; made for a square grid.
        own: The model's, float (1, 1 + P, D).
        grid: The model's rows and columns of patches.
    """
    stored = state_dict.get(name)
    if stored is None or stored.shape == own.shape or stored.shape[-1] != own.shape[-1]:
        return
    side = math.isqrt(stored.shape[1] - 1)
    print_log(f'{name}: interpolated from {stored.shape[1]} to {own.shape[1]} positions', 'current')
    state_dict[name] = resize_space_embedding(stored, (side, side), grid)


def resize_time_embedding(embedding: Tensor, length: int) -> Tensor:
    """Fit a temporal position embedding to another number of time positions, linearly.

    Args:
        embedding: float (1, T, D).
        length: Number of time positions wanted.

    Returns:
        float (1, length, D); the very same tensor when the length is the same.
    """
    # A graph that is traced for clips of any length has a symbol here, and must not settle on one of the two ways:
    # interpolation to the same length gives the same values, but its backward pass on a GPU is not deterministic.
    if not isinstance(length, torch.SymInt) and embedding.shape[1] == length:
        return embedding
    resized = F.interpolate(embedding.float().transpose(1, 2), size=length, mode='linear', align_corners=False)
    return resized.transpose(1, 2).to(embedding.dtype)

"""2D tokenizers: an image, or each frame of a clip on its own, into patch tokens."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS


def check_divisible(height: int, width: int, patch_size: int) -> None:
    """Raise an ``OmniVLValueError`` when a picture does not divide into patches."""
    if height % patch_size or width % patch_size:
        raise OmniVLValueError(
            f'height and width must be multiples of the patch size {patch_size}, got {height}x{width} pixels '
            '(set the size in the Resize or RandomResizedCrop transform of the pipeline)'
        )


def init_convolution(layer: nn.Conv2d, nonlinearity: Literal['linear', 'relu']) -> None:
    """Draw He's normal weights for what follows the layer; a zero bias."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity=nonlinearity)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class ConvStem(nn.Sequential):
    """The convolutions before the last one: 3x3, stride 2, each followed by a GELU; every frame on its own.

    Args:
        channels: Output channels of each; empty for none.
        patch_size: Side of a patch in pixels; a multiple of ``2 ** len(channels)``.

    Attributes:
        out_channels: Channels of the result.
        patch_size: Side of a patch that is left for the last convolution.

    Raises:
        OmniVLValueError: ``patch_size`` is no such multiple.
    """

    def __init__(self, channels: Sequence[int], patch_size: int) -> None:
        shrink = 2 ** len(channels)
        if patch_size % shrink:
            raise OmniVLValueError(
                f'{len(channels)} stem layers need a patch size that is a multiple of {shrink}, got {patch_size}'
            )
        layers: list[nn.Module] = []
        for source, target in zip([3, *channels[:-1]], channels):
            layer = nn.Conv2d(source, target, kernel_size=3, stride=2, padding=1)
            init_convolution(layer, 'relu')
            layers += [layer, nn.GELU()]
        super().__init__(*layers)
        self.out_channels = channels[-1] if channels else 3
        self.patch_size = patch_size // shrink

    def forward(self, frames: Tensor) -> Tensor:
        """Map float (B, T, 3, H, W) to (B, T, C, H', W'), the input itself when there are no layers."""
        if not len(self):
            return frames
        # Small convolutions are faster with channels last, on a CPU by half.
        pixels = frames.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return super().forward(pixels).unflatten(0, frames.shape[:2])


@MODELS.register_module()
class ImageTokenizer(nn.Module):
    """Patches through one convolution, as in ViT, or through a small stack of them.

    Args:
        width: Width D of the tokens.
        patch_size: Side of a patch in pixels.
        stem_channels: Output channels of strided 3x3 convolutions before the last one; ``()`` is the plain ViT
            tokenizer. A tiny model learns several times faster with a stem (see "Early convolutions", 2106.14881).
        bias: Whether the last convolution has a bias; CLIP's has none.
    """

    def __init__(self, width: int, patch_size: int = 16, stem_channels: Sequence[int] = (), bias: bool = True) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.stem = ConvStem(stem_channels, patch_size)
        last = self.stem.patch_size
        self.proj = nn.Conv2d(self.stem.out_channels, width, kernel_size=last, stride=last, bias=bias)
        if stem_channels:
            init_convolution(self.proj, 'linear')

    def forward(self, frames: Tensor) -> Tensor:
        """Tokenize.

        Args:
            frames: Normalised pixels, float (B, T, 3, H, W).

        Returns:
            float (B, T, rows, columns, D).

        Raises:
            OmniVLValueError: H or W is no multiple of the patch size.
        """
        batch, time, _, height, width = frames.shape
        check_divisible(height, width, self.patch_size)
        tokens = self.proj(self.stem(frames).flatten(0, 1))  # (B * T, D, rows, columns)
        return tokens.permute(0, 2, 3, 1).unflatten(0, (batch, time))

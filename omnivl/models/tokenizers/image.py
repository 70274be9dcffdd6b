"""2D tokenizers: an image, or each frame of a clip on its own, into patch tokens."""

from collections.abc import Sequence

from torch import Tensor, nn

from omnivl.registry import MODELS


def check_divisible(height: int, width: int, patch_size: int) -> None:
    """Raise a ``ValueError`` when a picture does not divide into patches."""
    if height % patch_size or width % patch_size:
        raise ValueError(
            f'height and width must be multiples of the patch size {patch_size}, got {height}x{width} pixels '
            '(set the size in the Resize or RandomResizedCrop transform of the pipeline)'
        )


def conv_stem(channels: Sequence[int], patch_size: int, conv: type[nn.Module], lift) -> tuple[nn.Sequential, int]:
    """Build the convolutions before the last one: 3x3, stride 2, each followed by a GELU.

    Args:
        channels: Output channels of each; empty for none.
        patch_size: Side of a patch in pixels; a multiple of ``2 ** len(channels)``.
        conv: ``nn.Conv2d`` or ``nn.Conv3d``.
        lift: Maps a size in space to the size that ``conv`` wants (identity, or with a 1 or 0 in front for time).

    Returns:
        The stem, and the patch size that is left for the last convolution.
    """
    shrink = 2 ** len(channels)
    if patch_size % shrink:
        raise ValueError(
            f'{len(channels)} stem layers need a patch size that is a multiple of {shrink}, got {patch_size}'
        )
    layers: list[nn.Module] = []
    for source, target in zip([3, *channels[:-1]], channels):
        layer = conv(source, target, kernel_size=lift(3, 1), stride=lift(2, 1), padding=lift(1, 0))
        nn.init.kaiming_normal_(layer.weight, nonlinearity='relu')
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.GELU()]
    return nn.Sequential(*layers), patch_size // shrink


@MODELS.register_module()
class ImageTokenizer(nn.Module):
    """Patches through one convolution, as in ViT, or through a small stack of them.

    Args:
        width: Width D of the tokens.
        patch_size: Side of a patch in pixels.
        stem_channels: Output channels of strided 3x3 convolutions before the last one; ``()`` is the plain ViT
            tokenizer. A tiny model learns several times faster with a stem (see "Early convolutions", 2106.14881).
    """

    def __init__(self, width: int, patch_size: int = 16, stem_channels: Sequence[int] = ()) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.stem, last = conv_stem(stem_channels, patch_size, nn.Conv2d, lambda space, time: space)
        self.proj = nn.Conv2d(stem_channels[-1] if stem_channels else 3, width, kernel_size=last, stride=last)
        if stem_channels:
            nn.init.kaiming_normal_(self.proj.weight, nonlinearity='linear')
            nn.init.zeros_(self.proj.bias)

    def forward(self, frames: Tensor) -> Tensor:
        """Tokenize.

        Args:
            frames: Normalised pixels, float (B, T, 3, H, W).

        Returns:
            float (B, T, rows, columns, D).

        Raises:
            ValueError: H or W is no multiple of the patch size.
        """
        batch, time, _, height, width = frames.shape
        check_divisible(height, width, self.patch_size)
        tokens = self.proj(self.stem(frames.flatten(0, 1)))  # (B * T, D, rows, columns)
        return tokens.permute(0, 2, 3, 1).unflatten(0, (batch, time))

"""3D tokenizers: a clip into space-time patch tokens."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS

from .image import ConvStem, ImageTokenizer, check_divisible


def inflate(weight: Tensor, time_kernel: int) -> Tensor:
    """Make a kernel (D, C, time_kernel, h, w) of a 2D one, float (D, C, h, w): the centre slice, and zeros."""
    inflated = weight.new_zeros(*weight.shape[:2], time_kernel, *weight.shape[2:])
    inflated[:, :, time_kernel // 2] = weight
    return inflated


@MODELS.register_module()
class VideoTokenizer(nn.Module):
    """Space-time patches through one 3D convolution, after an optional stem of 2D ones.

    OmniVL (2209.07526, section 3.1) has an independent 3D tokenizer for videos and does not give its extent in time.
    Here it looks at three frames and gives one slice of tokens per frame, so it starts exactly where the 2D one is.

    Args:
        width: Width D of the tokens.
        patch_size: Side of a patch in pixels.
        time_kernel: Number of frames that a token looks at.
        time_stride: Number of frames from one token to the next.
        stem_channels: As in ``ImageTokenizer``.
        bias: Whether the convolution has a bias; CLIP's has none.
    """

    def __init__(
        self,
        width: int,
        patch_size: int = 16,
        time_kernel: int = 3,
        time_stride: int = 1,
        stem_channels: Sequence[int] = (),
        bias: bool = True,
    ) -> None:
        super().__init__()
        if time_kernel < 1 or time_stride < 1:
            raise OmniVLValueError(
                f'time_kernel and time_stride must be at least 1, got {time_kernel} and {time_stride}'
            )
        self.patch_size = patch_size
        self.time_kernel = time_kernel
        self.time_stride = time_stride
        self.stem = ConvStem(stem_channels, patch_size)
        last = self.stem.patch_size
        self.proj = nn.Conv3d(
            self.stem.out_channels,
            width,
            kernel_size=(time_kernel, last, last),
            stride=(time_stride, last, last),
            padding=((time_kernel - 1) // 2, 0, 0),
            bias=bias,
        )

    def num_positions(self, num_frames: int) -> int:
        """Count the positions in time that a clip takes.

        Args:
            num_frames: Its number of frames T.

        Returns:
            T', the number of slices of tokens.

        Raises:
            OmniVLValueError: There are too few frames for the kernel.
        """
        padded = num_frames + 2 * ((self.time_kernel - 1) // 2)
        if padded < self.time_kernel:
            raise OmniVLValueError(f'a clip of {num_frames} frame(s) is too short for time_kernel={self.time_kernel}')
        return (padded - self.time_kernel) // self.time_stride + 1

    @torch.no_grad()
    def inflate_from(self, image_tokenizer: ImageTokenizer) -> None:
        """Start from the 2D weights: they become the centre slice in time and the others are zero.

        A clip of equal frames then gives the tokens of that image at every position in time ("centre" inflation).

        Args:
            image_tokenizer: A tokenizer of the same patch size, stem and width.

        Raises:
            OmniVLValueError: The two differ in shape.
        """
        own = [tuple(p.shape) for p in self.stem.parameters()] + [tuple(self.proj.weight.select(2, 0).shape)]
        given = [tuple(p.shape) for p in image_tokenizer.stem.parameters()] + [tuple(image_tokenizer.proj.weight.shape)]
        if own != given:
            raise OmniVLValueError(
                f'cannot inflate 2D weights of shapes {given} to {own}: image_tokenizer and video_tokenizer must have '
                'the same patch_size, stem_channels and width'
            )
        self.stem.load_state_dict(image_tokenizer.stem.state_dict())
        state = image_tokenizer.proj.state_dict()
        self.proj.load_state_dict(state | {'weight': inflate(state['weight'], self.time_kernel)})

    def forward(self, frames: Tensor) -> Tensor:
        """Tokenize.

        Args:
            frames: Normalised pixels, float (B, T, 3, H, W).

        Returns:
            float (B, T', rows, columns, D) with T' of ``num_positions``.

        Raises:
            OmniVLValueError: H or W is no multiple of the patch size, or T is too short.
        """
        check_divisible(frames.shape[-2], frames.shape[-1], self.patch_size)
        self.num_positions(frames.shape[1])
        tokens = self.proj(self.stem(frames).transpose(1, 2))  # (B, D, T', rows, columns)
        return tokens.permute(0, 2, 3, 4, 1)

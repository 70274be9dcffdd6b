"""The plain image transformer, ViT (2010.11929) or CLIP's (2103.00020); a clip goes through it frame by frame."""

import numpy as np
import torch
from torch import Tensor, nn

from omnivl.registry import MODELS
from omnivl.structures import FRAMES, IMAGE, VisualFeatures, check_modality

from ..layers import FeedForward, TransformerLayer, fit_space_embedding, resize_space_embedding
from ..layers.recompute import Recompute, check_recompute, run_layers


@MODELS.register_module()
class ImageEncoder(nn.Module):
    """ViT that sees every frame on its own: nothing in it knows of time.

    Args:
        image_tokenizer: Config of the 2D tokenizer, by default an ``ImageTokenizer``.
        width: Width D of the tokens.
        depth: Number of blocks.
        num_heads: Number of attention heads.
        mlp_ratio: Hidden width of the feed-forward layers over D.
        image_size: Side in pixels that the position embedding is made for.
        drop_path: Rate of stochastic depth at the last block; it grows linearly from 0 at the first.
        init_std: Standard deviation of the linear layers at their start; a narrow model wants about ``width ** -0.5``.
        norm_eps: Of the layer norms.
        pre_norm: Whether a layer norm stands before the first block, as in CLIP.
        last_norm: Whether one stands behind the last block; what pools the tokens may have one of its own.
        activation: See ``FeedForward``.
        activation_checkpointing: What of the blocks is computed again in the backward pass, see ``run_block``.
    """

    def __init__(
        self,
        image_tokenizer: dict,
        width: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        image_size: int = 224,
        drop_path: float = 0.0,
        init_std: float = 0.02,
        norm_eps: float = 1e-6,
        pre_norm: bool = False,
        last_norm: bool = True,
        activation: str = 'gelu',
        activation_checkpointing: Recompute = False,
    ) -> None:
        super().__init__()
        self.image_tokenizer = MODELS.build(dict(type=IMAGE.tokenizer) | dict(image_tokenizer, width=width))
        side = image_size // self.image_tokenizer.patch_size
        self.grid = (side, side)
        self.width = width
        self.activation_checkpointing = check_recompute(activation_checkpointing)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + side * side, width))
        self.pre_norm = nn.LayerNorm(width, eps=norm_eps) if pre_norm else nn.Identity()
        residual = [dict(eps=norm_eps, norm_first=True, drop_path=rate) for rate in np.linspace(0, drop_path, depth)]
        self.blocks = nn.ModuleList(
            TransformerLayer(
                width, num_heads, dropout=0.0, mlp=FeedForward(width, round(width * mlp_ratio), activation), **options
            )
            for options in residual
        )
        self.norm = nn.LayerNorm(width, eps=norm_eps) if last_norm else nn.Identity()
        for embedding in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(embedding, std=0.02)
        init_linear(self.blocks, init_std)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels that the position embedding is made for."""
        rows, columns = self.grid
        return rows * self.image_tokenizer.patch_size, columns * self.image_tokenizer.patch_size

    def fit_position_embeddings(self, state_dict: dict[str, Tensor], prefix: str = '') -> None:
        """Interpolate, in place and with a line in the log, the position embedding of weights of another resolution."""
        fit_space_embedding(state_dict, f'{prefix}pos_embed', self.pos_embed, self.grid)

    def forward(self, frames: Tensor, modality: str) -> VisualFeatures:
        """Encode images or clips.

        Args:
            frames: Normalised pixels, float (B, T, 3, H, W); H and W may differ from ``image_size``.
            modality: One of images or of clips.

        Returns:
            Tokens (B, T * (1 + P), D), frame after frame with [CLS] first in each, and the mean of the [CLS] tokens
            (B, D).
        """
        check_modality(modality, type(self).__name__, FRAMES)
        tokens = self.pre_norm(self.embed(frames))  # (B * T, 1 + P, D)
        tokens, _ = run_layers(self.blocks, tokens, recompute=self.training and self.activation_checkpointing)
        tokens = self.norm(tokens).unflatten(0, frames.shape[:2])  # (B, T, 1 + P, D)
        return VisualFeatures(tokens.flatten(1, 2), tokens[:, :, 0].mean(dim=1))

    def embed(self, frames: Tensor) -> Tensor:
        """Tokenize and add [CLS] and position embeddings: float (B, T, 3, H, W) -> (B * T, 1 + P, D)."""
        tokens = self.image_tokenizer(frames).flatten(0, 1)  # (B * T, rows, columns, D)
        positions = resize_space_embedding(self.pos_embed, self.grid, tuple(tokens.shape[1:3]))
        cls = (self.cls_token + positions[:, :1]).expand(tokens.shape[0], -1, -1)
        return torch.cat([cls, tokens.flatten(1, 2) + positions[:, 1:]], dim=1)


def init_linear(module: nn.Module, std: float) -> None:
    """Draw truncated normal weights for all linear layers inside; zero biases."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=std, a=-2 * std, b=2 * std)
            if part.bias is not None:
                nn.init.zeros_(part.bias)

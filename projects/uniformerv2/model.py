"""UniFormerV2 (2211.09552): an image ViT with relations over time inside its blocks and one query that looks at all."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Unpack

from omnivl.errors import OmniVLValueError
from omnivl.models.layers import (
    CrossAttentionBlock,
    FeedForward,
    FeedForwardBlock,
    SelfAttentionBlock,
    fit_space_embedding,
    make_drop_path,
    resize_space_embedding,
)
from omnivl.models.layers.blocks import ResidualOptions
from omnivl.models.layers.linear import Linear
from omnivl.models.layers.recompute import Recompute, check_recompute, run_block
from omnivl.models.mode import full_precision
from omnivl.models.tokenizers import VideoTokenizer
from omnivl.registry import MODELS
from omnivl.structures import VisualFeatures


class LocalRelation(nn.Module):
    """Relate each patch to its place in the frames before and after; starts at zero.

    Batch norm, a linear layer to a smaller width, a depth-wise convolution over three frames, a linear layer back: the
    published code's local MHRA with a 3x1x1 neighbourhood.

    Args:
        width: Width D of the tokens.
        reduction: D over the width inside.
    """

    def __init__(self, width: int, reduction: float = 1.5) -> None:
        super().__init__()
        hidden = int(width / reduction)
        self.norm = nn.BatchNorm1d(width)
        self.down = Linear(width, hidden)
        self.over_time = nn.Conv2d(hidden, hidden, kernel_size=(3, 1), padding=(1, 0), groups=hidden)
        self.up = Linear(hidden, width)

    def forward(self, patches: Tensor) -> Tensor:
        """Map float (B, T, P, D) to the same shape."""
        normed = self.norm(patches.reshape(-1, patches.shape[-1])).view(patches.shape)
        hidden = self.over_time(self.down(normed).permute(0, 3, 1, 2))  # (B, D', T, P)
        return self.up(hidden.permute(0, 2, 3, 1))


class LocalBlock(nn.Module):
    """A block of CLIP's ViT, each frame on its own, with local relations before its attention and before its MLP.

    Args:
        width: Width D of the tokens.
        num_heads: Number of heads.
        hidden: Width of the feed-forward layer.
        num_local: Number of local relations: none, one before attention, or a second one before the MLP.
        reduction: See ``LocalRelation``.
        activation: See ``FeedForward``.
        **residual: See ``Residual``; a branch is dropped for a clip (relations) or a frame (the rest).
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        hidden: int,
        num_local: int,
        reduction: float,
        activation: str,
        **residual: Unpack[ResidualOptions],
    ) -> None:
        super().__init__()
        self.relations = nn.ModuleList(LocalRelation(width, reduction) for _ in range(num_local))
        rate = residual.get('drop_path', 0.0)
        self.drop_path = make_drop_path(rate)
        self.attention = SelfAttentionBlock(width, num_heads, 0.0, **residual)
        self.feed_forward = FeedForwardBlock(width, hidden, 0.0, FeedForward(width, hidden, activation), **residual)

    def forward(self, tokens: Tensor, recompute: Recompute = False) -> Tensor:
        """Map float (B, T, 1 + P, D), [CLS] of each frame first, to the same shape.

        ``recompute`` is for attention and MLP, see ``run_block``. Local relations are never computed again: their batch
        norms would count every batch twice.
        """
        shape = tokens.shape
        sequences, _ = run_block(self.attention, self.relate(tokens, 0).flatten(0, 1), recompute=recompute)
        sequences = self.relate(sequences.view(shape), 1).flatten(0, 1)
        return run_block(self.feed_forward, sequences, recompute=recompute).view(shape)

    def relate(self, tokens: Tensor, number: int) -> Tensor:
        """Add a local relation to the patches, if there is one of that number; [CLS] has no part in it."""
        if number >= len(self.relations):
            return tokens
        related = self.drop_path(self.relations[number](tokens[:, :, 1:]))
        return tokens + F.pad(related, (0, 0, 1, 0))


class GlobalBlock(nn.Module):
    """Let one query of a video look at the tokens of all its frames; leaves the query as it is at its start.

    A depth-wise 3x3x3 convolution tells the patches where they are, in space and time; then cross-attention and a
    feed-forward layer, whose outputs start at zero.

    Args:
        width: Width D of the tokens.
        num_heads: Number of heads.
        hidden: Width of the feed-forward layer.
        dropout: Dropout rate inside the feed-forward layer.
        activation: See ``FeedForward``.
        **residual: See ``Residual``.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        hidden: int,
        dropout: float,
        activation: str,
        **residual: Unpack[ResidualOptions],
    ) -> None:
        super().__init__()
        self.position = nn.Conv3d(width, width, kernel_size=3, padding=1, groups=width)
        self.attention = CrossAttentionBlock(width, width, num_heads, 0.0, norm_visual=True, **residual)
        mlp = FeedForward(width, hidden, activation, dropout)
        self.feed_forward = FeedForwardBlock(width, hidden, 0.0, mlp, **residual)

    def forward(self, query: Tensor, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Look.

        Args:
            query: float (B, 1, D).
            tokens: float (B, T, 1 + P, D).
            grid: Rows and columns of the P patches.

        Returns:
            The query with what it saw, float (B, 1, D).
        """
        maps = tokens[:, :, 1:].unflatten(2, grid).permute(0, 4, 1, 2, 3)  # (B, D, T, rows, columns)
        # On some CPUs the gradient of its weights in bf16 has places that nothing wrote.
        with full_precision(maps.device.type):
            where = self.position(maps.to(self.position.weight.dtype)).flatten(3).permute(0, 2, 3, 1)  # (B, T, P, D)
        tokens = tokens + F.pad(where.to(tokens.dtype), (0, 0, 1, 0))
        return self.feed_forward(self.attention.look_directly(query, tokens.flatten(1, 2)))


def check_settings(depth: int, num_local: int, global_layers: Sequence[int], frozen: bool) -> None:
    """Refuse what is no UniFormerV2: see ``UniFormerV2`` for the arguments and the errors."""
    if num_local not in (0, 1, 2):
        raise OmniVLValueError(f'num_local must be 0, 1 or 2, got {num_local} (model.trunk.visual_encoder)')
    if list(global_layers) != sorted(set(global_layers) & set(range(depth))):
        raise OmniVLValueError(
            f'global_layers must be numbers of blocks in [0, {depth - 1}], ascending, got {list(global_layers)} '
            '(model.trunk.visual_encoder)'
        )
    if frozen and not global_layers:
        raise OmniVLValueError(
            'frozen=True trains the global blocks alone, and global_layers has none: name blocks, or set '
            'frozen=False (model.trunk.visual_encoder)'
        )


@MODELS.register_module()
class UniFormerV2(nn.Module):
    """CLIP's ViT, armed for videos; an image is a clip of one frame.

    The vector of a clip is ``norm((1 - s) query + s mean)`` of the query after the last global block and the mean over
    frames of the last block's [CLS], with ``s = sigmoid(gate)``, one half at the start. There the query is zero and all
    that is not CLIP's adds nothing, so the vector is that of the frame mean.

    Differs from the published code: a global block looks at tokens without making keys and values of them
    (``CrossAttention.look_directly``), which gives the same numbers in less time; stochastic depth drops a branch for a
    frame or a clip, where the layout there drops it for one position of all frames in the batch; any size of picture
    and number of frames is taken.

    Args:
        tokenizer: Config of the stem, by default a ``VideoTokenizer``: scene data take every frame on its own, motion
            data ``time_kernel=3, time_stride=2``.
        width: Width D of the tokens.
        depth: Number of blocks.
        num_heads: Number of heads.
        mlp_ratio: Hidden width of the feed-forward layers over D.
        image_size: Side in pixels that the position embedding is made for.
        num_frames: Frames of a clip in training; the model has no part of that size.
        num_local: Local relations in each block, 0 (scene data), 1 or 2 (motion data).
        local_reduction: See ``LocalRelation``.
        drop_path: Rate of stochastic depth at the last block; it grows linearly from 0 at the first.
        global_layers: The blocks after which the query looks, in ascending order; () leaves the frame mean alone.
        global_dropout: Dropout rate inside the feed-forward layers of the global blocks.
        global_drop_path: Rate of stochastic depth at the last global block; it grows linearly from 0 at the first.
        norm_eps: Of the layer norms.
        pre_norm: Whether a layer norm stands before the first block.
        activation: Of the feed-forward layers; these three are CLIP's by default.
        frozen: Train the global blocks and what follows alone; the vector is then ``norm(query)``, without frame mean.
        init_std: Standard deviation of linear layers, [CLS] and positions at their start.
        activation_checkpointing: What of the blocks is computed again in the backward pass, see ``run_block``.

    Raises:
        OmniVLValueError: ``num_local`` or ``global_layers`` is none of those, or ``frozen`` has no global block.
    """

    def __init__(
        self,
        tokenizer: dict,
        width: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        image_size: int = 224,
        num_frames: int = 8,
        num_local: int = 0,
        local_reduction: float = 1.5,
        drop_path: float = 0.0,
        global_layers: Sequence[int] = (8, 9, 10, 11),
        global_dropout: float = 0.5,
        global_drop_path: float = 0.0,
        norm_eps: float = 1e-5,
        pre_norm: bool = True,
        activation: str = 'quick_gelu',
        frozen: bool = False,
        init_std: float = 0.02,
        activation_checkpointing: Recompute = False,
    ) -> None:
        super().__init__()
        check_settings(depth, num_local, global_layers, frozen)
        self.width = width
        self.num_frames = num_frames
        self.global_layers = tuple(global_layers)
        self.frozen = frozen
        self.activation_checkpointing = check_recompute(activation_checkpointing)
        self.tokenizer = MODELS.build(dict(type=VideoTokenizer, bias=False) | dict(tokenizer, width=width))
        self.grid = (image_size // self.tokenizer.patch_size,) * 2
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.grid[0] * self.grid[1], width))
        self.pre_norm = nn.LayerNorm(width, eps=norm_eps) if pre_norm else nn.Identity()
        hidden = round(width * mlp_ratio)
        residual: ResidualOptions = dict(eps=norm_eps, norm_first=True)
        self.blocks = nn.ModuleList(
            LocalBlock(width, num_heads, hidden, num_local, local_reduction, activation, drop_path=rate, **residual)
            for rate in np.linspace(0, drop_path, depth).tolist()
        )
        self.global_blocks = nn.ModuleList(
            GlobalBlock(width, num_heads, hidden, global_dropout, activation, drop_path=rate, **residual)
            for rate in np.linspace(0, global_drop_path, len(global_layers)).tolist()
        )
        if global_layers:
            self.query = nn.Parameter(torch.zeros(1, 1, width))
            if not frozen:
                self.gate = nn.Parameter(torch.zeros(width))
        self.norm = nn.LayerNorm(width, eps=norm_eps)
        self._init_parameters(init_std)

    def _init_parameters(self, std: float) -> None:
        for parameter in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(parameter, std=std, a=-2 * std, b=2 * std)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
                nn.init.zeros_(module.bias)
        ends = [relation.up for block in self.blocks for relation in cast(LocalBlock, block).relations]
        for block in self.global_blocks:
            nn.init.zeros_(block.position.bias)
            ends += [block.attention.attention.proj, block.feed_forward.mlp.fc2]
        for layer in ends:
            nn.init.zeros_(layer.weight)
        for part in (self.tokenizer, self.pre_norm, self.blocks):
            part.requires_grad_(not self.frozen)
        self.cls_token.requires_grad_(not self.frozen)
        self.pos_embed.requires_grad_(not self.frozen)

    def train(self, mode: bool = True) -> 'UniFormerV2':
        """Set the mode; what is frozen stays in evaluation mode, without dropout and with the statistics it has."""
        super().train(mode)
        if self.frozen:
            self.blocks.eval()
        return self

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels that the position embedding is made for."""
        return self.grid[0] * self.tokenizer.patch_size, self.grid[1] * self.tokenizer.patch_size

    def fit_position_embeddings(self, state_dict: dict[str, Tensor], prefix: str = '') -> None:
        """Interpolate, in place, the position embedding of weights of another resolution.

        Args:
            state_dict: Weights about to be loaded.
            prefix: What the names of this encoder begin with there.
        """
        fit_space_embedding(state_dict, f'{prefix}pos_embed', self.pos_embed, self.grid)

    def forward(self, frames: Tensor, modality: str) -> VisualFeatures:
        """Encode clips, or images as clips of one frame.

        Args:
            frames: Normalised pixels, float (B, T, 3, H, W); H and W may differ from ``image_size``.
            modality: ``'image'`` or ``'video'``; both are treated alike.

        Returns:
            Tokens of the last block, normalised, frame after frame, [CLS] first in each, (B, T' * (1 + P), D); and the
            vector of the clip (B, D).
        """
        tokens, grid = self.embed(frames)
        looks = dict(zip(self.global_layers, self.global_blocks))
        query = self.query.repeat(frames.shape[0], 1, 1) if looks else None  # (B, 1, D)
        for number, block in enumerate(self.blocks):
            tokens = self.run(block, tokens)
            if number in looks:
                query = looks[number](query, tokens, grid)
        mean = tokens[:, :, 0].mean(dim=1)
        pooled = self.norm(mean if query is None else self.fuse(query[:, 0], mean))
        return VisualFeatures(self.norm(tokens).flatten(1, 2), pooled)

    def embed(self, frames: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Cut (B, T, 3, H, W) into tokens with positions, float (B, T', 1 + P, D); also rows and columns of patches."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            patches = self.tokenizer(frames)  # (B, T', rows, columns, D)
            grid = (patches.shape[2], patches.shape[3])
            positions = resize_space_embedding(self.pos_embed, self.grid, grid)
            cls = (self.cls_token + positions[:, :1]).expand(*patches.shape[:2], 1, -1)
            tokens = torch.cat([cls, patches.flatten(2, 3) + positions[:, None, 1:]], dim=2)
            return self.pre_norm(tokens), grid

    def run(self, block: nn.Module, tokens: Tensor) -> Tensor:
        """Run a block on (B, T, 1 + P, D), without a graph where it is frozen."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return block(tokens, self.activation_checkpointing if self.training and not self.frozen else False)

    def fuse(self, query: Tensor, mean: Tensor) -> Tensor:
        """Weigh the query of each clip and the mean of its frames, both (B, D); frozen, it is the query alone."""
        if self.frozen:
            return query
        share = self.gate.sigmoid()
        return (1 - share) * query + share * mean

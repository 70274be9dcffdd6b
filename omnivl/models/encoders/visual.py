"""One transformer for images and videos (OmniVL, 2209.07526, section 3.1)."""

from collections.abc import Iterable
from typing import cast

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS
from omnivl.structures import FRAMES, IMAGE, MODALITIES, VIDEO, VisualFeatures, check_modality

from ..layers import SpaceTimeBlock, fit_space_embedding, resize_space_embedding, resize_time_embedding
from ..layers.recompute import Recompute, check_recompute, run_block


@MODELS.register_module()
class UnifiedVisualEncoder(nn.Module):
    """Space-time transformer with a 2D tokenizer for images and a 3D tokenizer for videos.

    Everything but the tokenizers and temporal attention is shared by both modalities. An image skips temporal attention
    and takes no temporal position embedding: its path is the same function as timm's ``VisionTransformer``.

    Args:
        image_tokenizer: Config of the 2D tokenizer, by default an ``ImageTokenizer``.
        video_tokenizer: Config of the 3D tokenizer, by default a ``VideoTokenizer``.
        width: Width D of the tokens.
        depth: Number of blocks.
        num_heads: Number of attention heads.
        mlp_ratio: Hidden width of the feed-forward layers over D.
        image_size: Side in pixels that the spatial position embedding is made for.
        num_frames: Frames that the temporal position embedding is made for.
        drop_path: Rate of stochastic depth at the last block; it grows linearly from 0 at the first.
        init_std: Standard deviation of the linear layers at their start. ViT's 0.02 suits a width of 768; a narrow
            model trained from scratch wants about ``width ** -0.5``.
        pos_std: Standard deviation of the spatial position embedding at its start.
        norm_eps: Of the layer norms; 1e-6 in ViT, BLIP and TimeSformer, 1e-5 in CLIP and in Hugging Face's BLIP.
        pre_norm: Whether a layer norm stands before the first block, as in CLIP.
        activation: Of the feed-forward layers: ``'gelu'``, or ``'quick_gelu'`` as in CLIP.
        activation_checkpointing: What of the blocks is computed again in the backward pass, see ``run_block``.
    """

    def __init__(
        self,
        image_tokenizer: dict,
        video_tokenizer: dict,
        width: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        image_size: int = 224,
        num_frames: int = 8,
        drop_path: float = 0.0,
        init_std: float = 0.02,
        pos_std: float = 0.02,
        norm_eps: float = 1e-6,
        pre_norm: bool = False,
        activation: str = 'gelu',
        activation_checkpointing: Recompute = False,
    ) -> None:
        super().__init__()
        self.image_tokenizer = MODELS.build(dict(type=IMAGE.tokenizer) | dict(image_tokenizer, width=width))
        self.video_tokenizer = MODELS.build(dict(type=VIDEO.tokenizer) | dict(video_tokenizer, width=width))
        patch_size = self.image_tokenizer.patch_size
        self.grid = (image_size // patch_size, image_size // patch_size)
        self.width = width
        self.num_frames = num_frames
        self.activation_checkpointing = check_recompute(activation_checkpointing)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.grid[0] * self.grid[1], width))
        self.time_embed = nn.Parameter(torch.zeros(1, self.video_tokenizer.num_positions(num_frames), width))
        rates = np.linspace(0, drop_path, depth).tolist()
        self.pre_norm = nn.LayerNorm(width, eps=norm_eps) if pre_norm else nn.Identity()
        self.blocks = nn.ModuleList(
            SpaceTimeBlock(width, num_heads, mlp_ratio, rate, norm_eps, activation) for rate in rates
        )
        self.norm = nn.LayerNorm(width, eps=norm_eps)
        self._init_parameters(init_std, pos_std)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels that the spatial position embedding is made for."""
        rows, columns = self.grid
        return rows * self.image_tokenizer.patch_size, columns * self.image_tokenizer.patch_size

    def _init_parameters(self, init_std: float, pos_std: float) -> None:
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=pos_std, a=-2 * pos_std, b=2 * pos_std)
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=init_std, a=-2 * init_std, b=2 * init_std)
                nn.init.zeros_(module.bias)
        self.start_video_from_image()

    @torch.no_grad()
    def start_video_from_image(self) -> None:
        """Let the video path begin where the image path is: what decoupled joint pretraining does before its 2nd stage.

        The 3D tokenizer gets the 2D weights in its centre slice; temporal attention gets the weights of spatial
        attention and a zero output projection (TimeSformer's initialisation; the paper's own is not stated). A clip
        of equal frames then has the features of the image, whatever its length.
        """
        if hasattr(self.video_tokenizer, 'inflate_from'):
            self.video_tokenizer.inflate_from(self.image_tokenizer)
        self.time_embed.zero_()
        for block in cast(Iterable[SpaceTimeBlock], self.blocks):
            block.norm_time.load_state_dict(block.norm_space.state_dict())
            block.attention_time.load_state_dict(block.attention_space.state_dict())
            nn.init.zeros_(block.attention_time.proj.weight)
            nn.init.zeros_(block.attention_time.proj.bias)

    def fit_position_embeddings(self, state_dict: dict[str, Tensor], prefix: str = '') -> None:
        """Interpolate, in place and with a line in the log, the position embeddings of a checkpoint of another size.

        Args:
            state_dict: Weights about to be loaded; embeddings of the right size, and of another width, stay untouched.
            prefix: What the names of this encoder begin with there.
        """
        fit_space_embedding(state_dict, f'{prefix}pos_embed', self.pos_embed, self.grid)
        stored, own = state_dict.get(prefix + 'time_embed'), self.time_embed
        if stored is not None and stored.shape != own.shape and stored.shape[-1] == own.shape[-1]:
            print_log(f'{prefix}time_embed: interpolated from {stored.shape[1]} to {own.shape[1]} positions', 'current')
            state_dict[prefix + 'time_embed'] = resize_time_embedding(stored, own.shape[1])

    def forward(self, frames: Tensor, modality: str) -> VisualFeatures:
        """Encode images or clips.

        Args:
            frames: Normalised pixels, float (B, T, 3, H, W); H and W may differ from ``image_size``, T from
                ``num_frames``.
            modality: One without time (T is 1, and there is no temporal path) or one with it.

        Returns:
            Tokens (B, 1 + T' * P, D), frame after frame, and the [CLS] token (B, D).

        Raises:
            OmniVLValueError: There is no such modality, or an image has several frames, or H, W, T do not fit the
                tokenizer.
        """
        temporal = MODALITIES[check_modality(modality, type(self).__name__, FRAMES)].has_time
        tokens = self.pre_norm(self.embed(frames, temporal))  # (B, T', 1 + P, D)
        recompute = self.training and self.activation_checkpointing
        for block in self.blocks:
            tokens = run_block(block, tokens, temporal=temporal, recompute=recompute)
        tokens = self.norm(tokens)
        pooled = tokens[:, 0, 0]  # (B, D)
        if tokens.shape[1] == 1:
            return VisualFeatures(tokens.squeeze(1), pooled)
        return VisualFeatures(torch.cat([pooled.unsqueeze(1), tokens[:, :, 1:].flatten(1, 2)], dim=1), pooled)

    def embed(self, frames: Tensor, temporal: bool) -> Tensor:
        """Tokenize and add [CLS] and position embeddings: float (B, T, 3, H, W) -> (B, T', 1 + P, D)."""
        if temporal:
            tokens = self.video_tokenizer(frames)  # (B, T', rows, columns, D)
            time = resize_time_embedding(self.time_embed, tokens.shape[1])
            tokens = tokens + time[:, :, None, None]
        else:
            if frames.shape[1] != 1:
                raise OmniVLValueError(
                    f'an image is a clip of one frame, got {frames.shape[1]} frames (is this a video?)'
                )
            tokens = self.image_tokenizer(frames)
        space = resize_space_embedding(self.pos_embed, self.grid, tuple(tokens.shape[2:4]))
        patches = tokens.flatten(2, 3) + space[:, None, 1:]
        cls = (self.cls_token + space[:, :1]).expand(*patches.shape[:2], 1, -1)  # added first, as timm does
        return torch.cat([cls, patches], dim=2)

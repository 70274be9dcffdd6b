"""A visual encoder from any convolutional backbone of timm: each frame on its own, then the mean over time."""

import timm
import torch
from torch import Tensor, nn

from omnivl.registry import MODELS
from omnivl.structures import VisualFeatures


@MODELS.register_module()
class TimmFrameEncoder(nn.Module):
    """Feature maps of a timm backbone as visual tokens.

    An image is a clip of one frame, so both modalities take the same path; order in time is lost in the mean.

    Args:
        backbone: Name of a timm model that gives feature maps, such as ``'convnext_atto'``.
        width: Width D of the tokens.
        stage: Which feature map to take; -1 is the last, of the coarsest grid.
        options: Further arguments of ``timm.create_model``.
    """

    def __init__(self, backbone: str, width: int, stage: int = -1, options: dict | None = None) -> None:
        super().__init__()
        self.width = width
        self.backbone = timm.create_model(backbone, pretrained=False, features_only=True, **(options or {}))
        self.stage = stage
        self.proj = nn.Linear(self.backbone.feature_info.channels()[stage], width)
        self.norm = nn.LayerNorm(width)

    def forward(self, frames: Tensor, modality: str) -> VisualFeatures:
        """Encode images or clips.

        Args:
            frames: Normalised pixels, float (B, T, 3, H, W).
            modality: ``'image'`` or ``'video'``; both are treated alike.

        Returns:
            Tokens (B, 1 + P, D), their mean first, and that mean (B, D).
        """
        maps = self.backbone(frames.flatten(0, 1))[self.stage]  # (B * T, C, rows, columns)
        tokens = self.proj(maps.flatten(2).transpose(1, 2))  # (B * T, P, D)
        tokens = self.norm(tokens.unflatten(0, frames.shape[:2]).mean(dim=1))  # (B, P, D)
        pooled = tokens.mean(dim=1)
        return VisualFeatures(torch.cat([pooled.unsqueeze(1), tokens], dim=1), pooled)

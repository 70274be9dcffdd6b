"""Noise-contrastive estimation of video with sound, and with several texts of which any may be the right one."""

import torch
import torch.nn.functional as F
from mmengine import dist
from torch import Tensor

from omnivl.models.distributed import gather_batch, gather_with_gradient, mean_over_ranks
from omnivl.models.losses import StepLoss
from omnivl.models.mode import full_precision
from omnivl.registry import MODELS


def nce_loss(video: Tensor, other: Tensor, real: Tensor, temperature: float) -> Tensor:
    """Contrast videos with what belongs to them, sound or texts, of all ranks (2104.11178, section 3.3).

    NCE where a video has one counterpart, MIL-NCE (1912.06430) where it has several: the numerator sums over those of
    the video, the denominator over the video with all counterparts and all videos with its own, in one logarithm (the
    published ``AsymmetricNCE``). A counterpart that is not real is in neither; a video without any has no loss, and the
    others count the more.

    Args:
        video: Vectors of videos, float (B, E).
        other: Vectors of the C counterparts of each, float (B, C, E).
        real: Which of these there are, bool (B, C).
        temperature: What similarities of unit vectors are divided by.

    Returns:
        Scalar, float32; averaged over ranks it is that of their joined batch. 0 where nothing is real.
    """
    with full_precision(video.device.type):  # bf16 has 3 digits; similarities are divided by 0.07
        video, other = F.normalize(video.float(), dim=-1), F.normalize(other.float(), dim=-1)
        all_video, all_other, all_real = gather_with_gradient(video), gather_with_gradient(other), gather_batch(real)
        to_all = torch.einsum('be,nce->bnc', video, all_other) / temperature
        from_all = torch.einsum('bce,ne->bnc', other, all_video) / temperature
    # Far below all others rather than infinite: of a video without any counterpart, whose loss is not counted, neither
    # sum may become NaN, which would spoil the gradients.
    lowest = torch.finfo(torch.float32).min / 4
    to_all = to_all.masked_fill(~all_real[None], lowest)
    from_all = from_all.masked_fill(~real[:, None], lowest)
    own = torch.arange(video.shape[0], device=video.device)
    positive = to_all[own, own + dist.get_rank() * video.shape[0]].logsumexp(dim=1)
    losses = torch.cat([to_all, from_all], dim=1).flatten(1).logsumexp(dim=1) - positive
    counted = real.any(dim=1)
    return torch.where(counted, losses, 0.0).sum() / mean_over_ranks(counted.sum().float()).clamp(min=1e-6)


class CounterpartLoss(StepLoss):
    """Base of the losses of video and something that belongs to it.

    Args:
        temperature: Of the similarities (0.07 in the published code).
        weight: Factor of the loss.
    """

    def __init__(self, temperature: float = 0.07, weight: float = 1.0) -> None:
        super().__init__(weight)
        self.temperature = temperature


@MODELS.register_module()
class VideoAudioNCE(CounterpartLoss):
    """Contrast of video and sound; arguments as ``CounterpartLoss``."""

    name = 'video_audio'
    needs = ('video_for_audio', 'audio', 'real_audio')

    def forward(self, video_for_audio: Tensor, audio: Tensor, real_audio: Tensor) -> Tensor:
        """See ``nce_loss``: of float (B, E) both, and bool (B,)."""
        return self.weight * nce_loss(video_for_audio, audio[:, None], real_audio[:, None], self.temperature)


@MODELS.register_module()
class VideoTextNCE(CounterpartLoss):
    """Contrast of video and its candidate texts; arguments as ``CounterpartLoss``."""

    name = 'video_text'
    needs = ('video_for_text', 'texts', 'real_texts')

    def forward(self, video_for_text: Tensor, texts: Tensor, real_texts: Tensor) -> Tensor:
        """See ``nce_loss``: of float (B, E), float (B, C, E), and bool (B, C)."""
        return self.weight * nce_loss(video_for_text, texts, real_texts, self.temperature)

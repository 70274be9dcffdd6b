"""From the vectors of the encoders to two spaces: fine, of video and sound, and coarse, of video and text (FAC)."""

from mmengine import dist
from torch import Tensor, nn

from omnivl.models.distributed import gather_with_gradient
from omnivl.registry import MODELS

from .layers import init_glorot


class CrossReplicaBatchNorm(nn.BatchNorm1d):
    """Batch norm over the samples of all ranks, in every training.

    The vectors of all ranks, a few hundred numbers each, are gathered with their gradient and normalised as one batch,
    of which each rank takes its own; running statistics are the same on all. PyTorch's ``SyncBatchNorm`` exchanges
    statistics alone, but works on GPUs only: elsewhere a distributed wrapper refuses a model that has one.
    """

    def forward(self, vectors: Tensor) -> Tensor:
        """Normalise float (B, D), B being the same on all ranks."""
        if not self.training or dist.get_world_size() == 1:
            return super().forward(vectors)
        normed = super().forward(gather_with_gradient(vectors))
        return normed[dist.get_rank() * vectors.shape[0] :][: vectors.shape[0]]


def batch_norm(width: int) -> CrossReplicaBatchNorm:
    """Build the bridge's batch norm: momentum 0.9 of the old value, which PyTorch calls 0.1, and epsilon 1e-5."""
    return CrossReplicaBatchNorm(width, eps=1e-5, momentum=0.1)


@MODELS.register_module()
class FACBridge(nn.Module):
    """The fine and coarse heads (2104.11178, section 3.3, after 2006.16228), as the published code has them.

    Video goes by two linear layers with batch norms into the space that it shares with sound, and on from there into
    the one that it shares with text; sound and text get a linear layer each.

    Args:
        video_width: Width of the video's vectors.
        audio_width: Width of the sound's vectors; None = there is no sound.
        text_width: Width of the text's vectors; None = there is no text.
        fine_width: Width of the space of video and sound.
        coarse_width: Width of the space of video and text.
    """

    def __init__(
        self,
        video_width: int,
        audio_width: int | None,
        text_width: int | None,
        fine_width: int = 512,
        coarse_width: int = 256,
    ) -> None:
        super().__init__()
        self.video_to_fine = nn.Sequential(
            nn.Linear(video_width, fine_width, bias=False),
            batch_norm(fine_width),
            nn.ReLU(),
            nn.Linear(fine_width, fine_width, bias=False),
            batch_norm(fine_width),
        )
        if audio_width is not None:
            self.audio_to_fine = nn.Linear(audio_width, fine_width)
        if text_width is not None:
            self.fine_to_coarse = nn.Sequential(
                nn.ReLU(), nn.Linear(fine_width, coarse_width, bias=False), batch_norm(coarse_width)
            )
            self.text_to_coarse = nn.Linear(text_width, coarse_width)
        init_glorot(self)

"""The smallest trunk: a visual encoder and nothing else."""

from collections.abc import Collection, Mapping

from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS
from omnivl.structures import VisualFeatures, VLBatch

from .interfaces import FitsPositions, offered_by


@MODELS.register_module()
class VisualTrunk(nn.Module):
    """A visual encoder as a trunk, for tasks without texts, and the base of trunks that have more.

    Args:
        visual_encoder: Config of the visual encoder.
        parts: What a task asks for; a trunk without texts has ``'visual_encoder'`` alone.
    """

    def __init__(self, visual_encoder: dict, parts: Collection[str] = ('visual_encoder',)) -> None:
        super().__init__()
        if missing := sorted(set(parts) - {'visual_encoder'}):
            raise OmniVLValueError(
                f'the task needs the parts {missing}, which a {type(self).__name__} does not have: take a trunk with '
                'text models (model.trunk.type=OmniVL), or a task of visuals alone'
            )
        self.visual_encoder = MODELS.build(visual_encoder)

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """Name -> part, of those that were built."""
        return dict(self.named_children())

    def adapt_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Fit the position embeddings of weights about to be loaded to this model's resolution and clip length.

        Those of the momentum encoder, which has a copy of each part, too.
        """
        if (fits := offered_by(self.visual_encoder, FitsPositions)) is not None:  # a matter of each encoder
            part = 'visual_encoder.'
            for prefix in sorted({key[: key.index(part) + len(part)] for key in state_dict if part in key}):
                fits.fit_position_embeddings(state_dict, prefix)

    def encode(self, batch: VLBatch) -> VisualFeatures:
        """Encode the visuals of a batch to tokens (B, S, D) and one vector each (B, D)."""
        return self.visual_encoder(batch.frames, batch.modality)

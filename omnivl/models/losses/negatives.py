"""Where the negatives of visual-language matching are drawn (ALBEF's and BLIP's way)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS


class MatchingPairs(NamedTuple):
    """The 3B text-visual pairs of one step: B matches, B texts with a wrong visual, B visuals with a wrong text.

    Attributes:
        visual_index: int64 (3B,), into the batch.
        text_index: int64 (3B,), into the batch.
        matched: int64 (3B,), 1 for the first B and 0 for the others.
        valid: bool (3B,), False where a row had no negative; such a pair is left out of the loss.
    """

    visual_index: Tensor
    text_index: Tensor
    matched: Tensor
    valid: Tensor


def sample_hard_negatives(
    similarity: Tensor, target_ids: Tensor, uniform_share: float = 0.0, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Draw one negative per row, the more similar the likelier; never a positive by label.

    Weights are softmax(similarity) + 1e-4 over the negatives of the row, as in BLIP.

    Args:
        similarity: Contrastive similarities over temperature, float (B, B).
        target_ids: int64 (B,); entries with the same id as the row are no negatives.
        uniform_share: Share of the probability that is spread evenly instead. Early in training, or with a tiny batch,
            the hardest negatives alone teach nothing.
        generator: Random source.

    Returns:
        Index of the negative, int64 (B,), and bool (B,), False for rows without any negative (their index is 0).
    """
    negative = target_ids[:, None] != target_ids[None]  # (B, B)
    weights = (similarity.float().softmax(dim=1) + 1e-4) * negative
    if uniform_share:
        weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-12)
        evenly = negative / negative.sum(dim=1, keepdim=True).clamp(min=1)
        weights = (1 - uniform_share) * weights + uniform_share * evenly
    valid = negative.any(dim=1)
    weights[:, 0] += (~valid).to(weights)  # multinomial refuses a row of zeros; the draw is masked by ``valid``
    # Where a model has run away the loss says so, with its batch; the draw would end the run with less.
    weights = weights.nan_to_num(nan=1.0)
    return torch.multinomial(weights, 1, generator=generator).squeeze(1), valid


def matching_pairs(negative_visual: tuple[Tensor, Tensor], negative_text: tuple[Tensor, Tensor]) -> MatchingPairs:
    """Lay out the pairs of one step.

    Args:
        negative_visual: For each text a wrong visual, int64 (B,), and whether there is one, bool (B,).
        negative_text: For each visual a wrong text, and whether there is one.

    Returns:
        3B pairs: the matches, then the wrong visuals, then the wrong texts.
    """
    count = len(negative_visual[0])
    own = torch.arange(count, device=negative_visual[0].device)
    return MatchingPairs(
        visual_index=torch.cat([own, negative_visual[0], own]),
        text_index=torch.cat([own, own, negative_text[0]]),
        matched=torch.cat([torch.ones_like(own), torch.zeros_like(own), torch.zeros_like(own)]),
        valid=torch.cat([torch.ones_like(own, dtype=torch.bool), negative_visual[1], negative_text[1]]),
    )


@MODELS.register_module()
class HardNegatives(nn.Module):
    """Draws, for each text and each visual of this rank's batch, a wrong partner that looks right.

    Args:
        uniform_share: Share of negatives that are drawn evenly, see ``sample_hard_negatives`` (0 in BLIP).
    """

    def __init__(self, uniform_share: float = 0.0) -> None:
        super().__init__()
        if not 0 <= uniform_share <= 1:
            raise OmniVLValueError(
                f'uniform_share must be in [0, 1], got {uniform_share} (set negatives.uniform_share)'
            )
        self.uniform_share = uniform_share

    @torch.no_grad()
    def forward(
        self, visual_feature: Tensor, text_feature: Tensor, target_ids: Tensor, temperature: Tensor
    ) -> MatchingPairs:
        """Choose the 3B pairs by the contrastive features, unit vectors (B, E) of the online model."""
        similarity = visual_feature.float() @ text_feature.float().T / temperature  # (B visuals, B texts)
        return matching_pairs(
            negative_visual=sample_hard_negatives(similarity.T, target_ids, self.uniform_share),
            negative_text=sample_hard_negatives(similarity, target_ids, self.uniform_share),
        )

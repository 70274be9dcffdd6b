"""Where the negatives of visual-language matching are drawn (ALBEF's and BLIP's way)."""

from typing import NamedTuple

import torch
from mmengine import dist
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS

from ..distributed import gather_batch


class MatchingPairs(NamedTuple):
    """The 3B text-visual pairs of one step: B matches, B texts with a wrong visual, B visuals with a wrong text.

    Attributes:
        visual_index: int64 (3B,), into the batch, or into it and, behind it, the B visuals that are fetched.
        text_index: int64 (3B,), likewise.
        matched: int64 (3B,), 1 for the first B and 0 for the others.
        valid: bool (3B,), False where a row had no negative; such a pair is left out of the loss.
        wanted_visuals: For each sample of the joined batch of all ranks the row of it whose visual is fetched for its
            text, int64 (R * B,), the same on all ranks; None where all partners are in the batch.
        wanted_texts: Likewise the row whose text is fetched for its visual.
    """

    visual_index: Tensor
    text_index: Tensor
    matched: Tensor
    valid: Tensor
    wanted_visuals: Tensor | None = None
    wanted_texts: Tensor | None = None


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
        all_ranks: Whether partners come from the batches of all ranks, as when BLIP finetunes retrieval
            (``negative_all_rank`` of its code), so that they are as hard as in one process with the joined batch, and
            the draws the same. Those chosen are fetched, and no others. Without, from this rank's batch, as in BLIP's
            pretraining.
    """

    def __init__(self, uniform_share: float = 0.0, all_ranks: bool = False) -> None:
        super().__init__()
        if not 0 <= uniform_share <= 1:
            raise OmniVLValueError(
                f'uniform_share must be in [0, 1], got {uniform_share} (set negatives.uniform_share)'
            )
        self.uniform_share = uniform_share
        self.all_ranks = all_ranks

    @torch.no_grad()
    def forward(
        self, visual_feature: Tensor, text_feature: Tensor, target_ids: Tensor, temperature: Tensor
    ) -> MatchingPairs:
        """Choose the 3B pairs by the contrastive features, unit vectors (B, E) of the online model."""
        joined = self.all_ranks and dist.get_world_size() > 1
        count = len(target_ids)
        if joined:
            visual_feature, text_feature = gather_batch(visual_feature), gather_batch(text_feature)
            target_ids = gather_batch(target_ids)
        similarity = visual_feature.float() @ text_feature.float().T / temperature  # (B visuals, B texts)
        negative_visual = sample_hard_negatives(similarity.T, target_ids, self.uniform_share)
        negative_text = sample_hard_negatives(similarity, target_ids, self.uniform_share)
        if not joined:
            return matching_pairs(negative_visual, negative_text)
        # Each rank has drawn for all, so that generators stay alike, and all must know what each wants.
        wanted = torch.stack([negative_visual[0], negative_text[0]])
        dist.broadcast(wanted)
        own, fetched = (
            torch.arange(dist.get_rank() * count, (dist.get_rank() + 1) * count),
            torch.arange(count, 2 * count),
        )
        valid = [found[own.to(found.device)] for _, found in (negative_visual, negative_text)]
        fetched = fetched.to(wanted.device)
        pairs = matching_pairs((fetched, valid[0]), (fetched, valid[1]))
        return pairs._replace(wanted_visuals=wanted[0], wanted_texts=wanted[1])

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


COMPARED = ('online', 'momentum')


def text_keys(text_ids: Tensor, text_mask: Tensor) -> Tensor:
    """Return a number for each text, int64 (B,), equal where all tokens are; ids (B, L) and mask as of ``VLBatch``."""
    # A polynomial in an odd number, modulo 2^64 as int64 wraps; among a million texts two meet once in 1e7 times.
    powers = torch.full_like(text_ids[:1], 6364136223846793005).cumprod(dim=1)
    return ((text_ids + 1) * text_mask * powers).sum(dim=1)


def sample_hard_negatives(
    similarity: Tensor, negative: Tensor, uniform_share: float = 0.0, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Draw one negative per row, the more similar the likelier.

    Weights are softmax(similarity) + 1e-4 over the negatives of the row, as in BLIP.

    Args:
        similarity: Contrastive similarities over temperature, float (B, B).
        negative: bool (B, B), True where the entry is a negative of the row.
        uniform_share: Share of the probability that is spread evenly instead. Early in training, or with a tiny batch,
            the hardest negatives alone teach nothing.
        generator: Random source.

    Returns:
        Index of the negative, int64 (B,), and bool (B,), False for rows without any negative (their index is 0).
    """
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


def matching_pairs(
    negative_visual: tuple[Tensor, Tensor], negative_text: tuple[Tensor, Tensor], omitted: Tensor | None = None
) -> MatchingPairs:
    """Lay out the pairs of one step.

    Args:
        negative_visual: For each text a wrong visual, int64 (B,), and whether there is one, bool (B,).
        negative_text: For each visual a wrong text, and whether there is one.
        omitted: Whose match is left out, too, bool (B,); None = nobody's.

    Returns:
        3B pairs: the matches, then the wrong visuals, then the wrong texts.
    """
    count = len(negative_visual[0])
    own = torch.arange(count, device=negative_visual[0].device)
    matches = torch.ones_like(own, dtype=torch.bool) if omitted is None else ~omitted
    return MatchingPairs(
        visual_index=torch.cat([own, negative_visual[0], own]),
        text_index=torch.cat([own, own, negative_text[0]]),
        matched=torch.cat([torch.ones_like(own), torch.zeros_like(own), torch.zeros_like(own)]),
        valid=torch.cat([matches, negative_visual[1], negative_text[1]]),
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
        compare_with: Features of the partners whose similarity to an online feature is the weight: ``'online'``, as
            when BLIP finetunes retrieval, or ``'momentum'``, as in its pretraining.
        label_data: Whether labelled visuals, and the texts made of their classes, are in pairs; without, VLM learns of
            captions alone.
    """

    def __init__(
        self,
        uniform_share: float = 0.0,
        all_ranks: bool = False,
        compare_with: str = 'online',
        label_data: bool = True,
    ) -> None:
        super().__init__()
        if not 0 <= uniform_share <= 1:
            raise OmniVLValueError(
                f'uniform_share must be in [0, 1], got {uniform_share} (set negatives.uniform_share)'
            )
        if compare_with not in COMPARED:
            raise OmniVLValueError(f'compare_with must be one of {COMPARED}, got {compare_with!r} (set negatives)')
        self.uniform_share = uniform_share
        self.all_ranks = all_ranks
        self.compare_with = compare_with
        self.label_data = label_data

    @torch.no_grad()
    def forward(
        self,
        visual_feature: Tensor,
        text_feature: Tensor,
        ids: Tensor,
        temperature: Tensor,
        has_label: Tensor | None = None,
        partners: tuple[Tensor, Tensor] | None = None,
    ) -> MatchingPairs:
        """Choose the 3B pairs.

        Args:
            visual_feature: Unit vectors of the visuals by the online model, float (B, E).
            text_feature: Unit vectors of the texts by the online model, float (B, E).
            ids: int64 (B, K); two samples that share the id of any column are never each other's negatives.
            temperature: Scalar.
            has_label: Which samples are labelled visuals, bool (B,); None = none.
            partners: Momentum features of the visuals and of the texts, if there are any, float (B, E) each.

        Returns:
            The pairs.

        Raises:
            OmniVLValueError: Momentum features are to be compared with, and there are none.
        """
        if self.compare_with == 'online':
            partners = None
        elif partners is None:
            raise OmniVLValueError(
                "model.negatives.compare_with='momentum' asks for features of the momentum encoder, which a task has "
                "that computes UniVLC: add 'univlc' to its losses, or set 'online'"
            )
        own = omitted = has_label if has_label is not None and not self.label_data else ids.new_zeros(len(ids)).bool()
        joined = self.all_ranks and dist.get_world_size() > 1
        if joined:
            visual_feature, text_feature = gather_batch(visual_feature), gather_batch(text_feature)
            ids, omitted = gather_batch(ids), gather_batch(own)
            partners = partners and (gather_batch(partners[0]), gather_batch(partners[1]))
        visuals, texts = partners or (visual_feature, text_feature)
        negative = (ids[:, None] != ids[None]).all(dim=2) & ~omitted[:, None] & ~omitted[None]
        negative_visual, negative_text = (
            sample_hard_negatives(one.float() @ others.float().T / temperature, negative, self.uniform_share)
            for one, others in ((text_feature, visuals), (visual_feature, texts))
        )
        return (_of_all_ranks if joined else matching_pairs)(negative_visual, negative_text, own)


def _of_all_ranks(
    negative_visual: tuple[Tensor, Tensor], negative_text: tuple[Tensor, Tensor], omitted: Tensor
) -> MatchingPairs:
    """Lay out the pairs of this rank, whose partners come from all; ``omitted`` is of this rank alone, bool (B,)."""
    # Each rank has drawn for all, and what the first has drawn counts: all must know what each wants.
    wanted = torch.stack([negative_visual[0], negative_text[0]])
    dist.broadcast(wanted)
    count = len(omitted)
    own = slice(dist.get_rank() * count, (dist.get_rank() + 1) * count)
    fetched = torch.arange(count, 2 * count, device=wanted.device)
    pairs = matching_pairs((fetched, negative_visual[1][own]), (fetched, negative_text[1][own]), omitted)
    return pairs._replace(wanted_visuals=wanted[0], wanted_texts=wanted[1])

"""Features of many texts, in batches of similar length, shared out over the ranks."""

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.dist import all_gather_object, get_dist_info
from torch import Tensor, nn

from omnivl.models.data_preprocessor import pad_text
from omnivl.models.interfaces import Contrasts, TextTokenizer, serving
from omnivl.storage.progress import track


def pad_texts(
    texts: Sequence[np.ndarray], tokenizer: TextTokenizer, device: torch.device | str
) -> tuple[Tensor, Tensor]:
    """Pad texts, each int64 (L_i,), to the longest: ids, int64 (B, L), and bool (B, L), True = real token."""
    text_ids, text_mask = pad_text(texts, tokenizer.pad_id)
    return text_ids.to(device), text_mask.to(device)


def encode_texts(model: nn.Module, texts: Sequence[np.ndarray], batch_size: int, name: str) -> np.ndarray:
    """Encode texts to unit vectors, each rank making its share.

    Args:
        model: Offers ``Contrasts``.
        texts: Word-piece ids, [CLS] first and [SEP] last, the same texts on every rank; each int64 (L_i,).
        batch_size: Texts per forward pass.
        name: Shown before the progress bar.

    Returns:
        float32 (number of texts, E), the same on every rank.
    """
    rank, world_size = get_dist_info()
    # Sorted by length, a batch is padded by next to nothing. Batches are made before they are dealt, so they, and with
    # them the last bits of the features, are the same for any number of ranks.
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    groups = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    mine = groups[rank::world_size]
    features: dict[int, np.ndarray] = {}
    contrasts, device = serving(model, Contrasts, name), next(model.parameters()).device
    for group in track(mine, f'{name} (texts)'):
        text_ids, text_mask = pad_texts([texts[index] for index in group], contrasts.tokenizer, device)
        features.update(zip(group, to_numpy(contrasts.embed_text(text_ids, text_mask))))
    for part in all_gather_object(features):
        features.update(part)
    return np.stack([features[index] for index in range(len(texts))])


def to_numpy(values: Tensor) -> np.ndarray:
    """Turn a tensor on any device and of any float type into float32 numpy."""
    return values.to(device='cpu', dtype=torch.float32).numpy()

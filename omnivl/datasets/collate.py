"""From items to a batch."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from mmengine.registry import FUNCTIONS

from omnivl.errors import OmniVLRuntimeError, OmniVLValueError
from omnivl.structures import VLDataSample

from .broken import SkippedItem, attach_broken
from .transforms.packers import packer_of


@FUNCTIONS.register_module()
def collate_samples(items: Sequence[dict[str, Any] | SkippedItem]) -> dict[str, Any]:
    """Join what PackSample made, ``dict(inputs, pts_seconds, data_samples)``; skipped items are dropped and reported.

    Returns ``dict(inputs={modality: (B, ...)}, masks={modality: bool (B, N)}, pts_seconds={modality: float32 (B, T)},
    data_samples=list of VLDataSample)``; frames are uint8 (B, T, 3, H, W) and have no mask. Skipped files stand in the
    meta field ``broken`` of the first sample, and their number by source under ``skipped`` where there are any. So are
    ``unknown_words``: the share of [UNK] among the word pieces, in percent, and the words by source.
    """
    kept = [item for item in items if not isinstance(item, SkippedItem)]
    skipped = [item.broken for item in items if isinstance(item, SkippedItem)]
    if not kept:
        files = '; '.join(f'{broken.path} ({broken.reason})' for broken in skipped[:3])
        raise OmniVLRuntimeError(
            f'all {len(skipped)} items of a batch are broken or missing: {files}; is visual_root right? '
            f"broken='replace' of the dataset puts other items in their place"
        )
    if skipped:
        attach_broken(kept[0]['data_samples'], skipped)
    combinations = {tuple(item['inputs']) for item in kept}
    if len(combinations) > 1:
        raise OmniVLValueError(
            f'the samples of a batch are of one modality or combination of them, got {sorted(combinations)}: give each '
            'a dataloader of its own'
        )
    # Joined here and not in the main process: a worker stacks right into shared memory.
    batch: dict[str, Any] = dict(inputs={}, masks={}, pts_seconds={})
    if skipped:
        batch['skipped'] = dict(Counter(broken.source for broken in skipped))
    for name in kept[0]['inputs']:
        packer = packer_of(name)
        batch['inputs'][name], mask = packer.collate([item['inputs'][name] for item in kept])
        if mask is not None:
            batch['masks'][name] = mask
        if name in kept[0]['pts_seconds']:
            batch['pts_seconds'][name] = packer.collate_times([item['pts_seconds'][name] for item in kept])
    samples = [item['data_samples'] for item in kept]
    return batch | _unknown_words(samples) | dict(data_samples=samples)


def _unknown_words(samples: Sequence[VLDataSample]) -> dict[str, Any]:
    words: dict[str, list[str]] = {}
    for sample in samples:
        if found := sample.get('unknown_words'):
            words.setdefault(sample.source, []).extend(found)
    if not words:
        return {}
    rows = [ids for sample in samples for ids in ([sample.text_ids] if 'text_ids' in sample else sample.caption_ids)]
    share = 100 * sum(map(len, words.values())) / max(1, sum(len(ids) - 2 for ids in rows))
    return dict(unknown_words=dict(share=share, words=words))

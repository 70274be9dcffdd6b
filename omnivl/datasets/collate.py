"""From items to a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.dataset import default_collate
from mmengine.registry import FUNCTIONS

from omnivl.errors import OmniVLRuntimeError

from .broken import SkippedItem, attach_broken


@FUNCTIONS.register_module()
def collate_samples(items: Sequence[dict[str, Any] | SkippedItem]) -> dict[str, Any]:
    """Stacks the frames and lists the samples; items skipped as broken are dropped and reported.

    Args:
        items: ``dict(inputs=uint8 (T, 3, H, W), data_samples=VLDataSample)`` or SkippedItem.

    Returns:
        ``dict(inputs=uint8 (B, T, 3, H, W), data_samples=list of VLDataSample)``. Skipped files stand in the meta field
        ``broken`` of the first sample.

    Raises:
        OmniVLRuntimeError: All items were skipped.
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
    return default_collate(kept)

"""From a collated batch of the data loader to what the model takes: the one place that pads, normalises and moves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS, NORMALIZERS
from omnivl.structures import FRAMES, MODALITIES, VLBatch, VLDataSample

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def pad_text(texts: Sequence[np.ndarray], pad_id: int = 0, lengths: Sequence[int] = ()) -> tuple[Tensor, Tensor]:
    """Pad texts to the longest.

    Args:
        texts: Word-piece ids, int64 (L_i,) each.
        pad_id: Id of [PAD].
        lengths: Pad to the smallest of these that holds the longest, if one does.

    Returns:
        Ids, int64 (B, L), and bool (B, L), True = real token.
    """
    counts = np.fromiter((len(text) for text in texts), dtype=np.int64, count=len(texts))
    longest = counts.max()
    mask = np.arange(min((length for length in lengths if length >= longest), default=longest)) < counts[:, None]
    ids = np.full(mask.shape, pad_id, dtype=np.int64)
    ids[mask] = np.concatenate(texts)
    return torch.from_numpy(ids), torch.from_numpy(mask)


@NORMALIZERS.register_module(FRAMES)
class FrameNormalizer(nn.Module):
    """Turn 8-bit pixels into normalised ones.

    Args:
        mean: Mean of each channel, pixels in [0, 1].
        std: Standard deviation of each channel.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        scale = 255 * torch.tensor(std).view(3, 1, 1)
        self.register_buffer('scale', 1 / scale, persistent=False)
        self.register_buffer('shift', -255 * torch.tensor(mean).view(3, 1, 1) / scale, persistent=False)

    def forward(self, frames: Tensor, mask: Tensor | None) -> Tensor:
        """Normalise uint8 (B, T, 3, H, W), which never has a mask, to float."""
        return torch.addcmul(self.shift, frames.float(), self.scale)


@MODELS.register_module()
class VLDataPreprocessor(BaseDataPreprocessor):
    """Normalise each modality by its kind, pad texts, move all to the device.

    Args:
        mean: Mean of each channel of frames, pixels in [0, 1] (CLIP's, as BLIP uses).
        std: Standard deviation of each channel.
        pad_id: Word-piece id of [PAD].
        non_blocking: Copy to the device without waiting (with pinned memory).
        text_lengths: Lengths that texts are padded to, such as ``range(8, 41, 8)``, so that a compiled model sees few;
            no result depends on it. A text longer than all of them is left as it is.
        normalizers: Kind of values -> arguments of its normalizer (registry ``NORMALIZERS``), for kinds beside frames
            whose defaults do not fit.
    """

    def __init__(
        self,
        mean: Sequence[float] = CLIP_MEAN,
        std: Sequence[float] = CLIP_STD,
        pad_id: int = 0,
        non_blocking: bool = True,
        text_lengths: Sequence[int] = (),
        normalizers: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__(non_blocking)
        self.pad_id = pad_id
        self.text_lengths = tuple(text_lengths)
        arguments = {FRAMES: dict(mean=mean, std=std)} | dict(normalizers or {})
        kinds = sorted({modality.kind for modality in MODALITIES.values()})
        self.normalizers = nn.ModuleDict(
            {kind: NORMALIZERS.build(dict(arguments.get(kind, {}), type=kind)) for kind in kinds}
        )

    def forward(self, data: dict, training: bool = False) -> dict:
        """Make the arguments of the model's ``forward``.

        Args:
            data: From ``collate_samples``: ``inputs``, ``masks``, ``pts_seconds`` and ``data_samples``, a list of B
                ``VLDataSample``; and from the train loop ``task``, ``losses`` and ``part``.
            training: Not used: training and evaluation differ in the pipeline only.

        Returns:
            ``batch``, a ``VLBatch``, and the ``data_samples`` as they came.

        Raises:
            OmniVLValueError: The samples have different numbers of views, or some have a text or a target and others
                have none.
        """
        samples: list[VLDataSample] = data['data_samples']
        masks = self._moved(data.get('masks', {}))
        batch = VLBatch(
            {
                name: self.normalizers[MODALITIES[name].kind](values, masks.get(name))
                for name, values in self._moved(data['inputs']).items()
            },
            masks=masks,
            pts_seconds=self._moved(data.get('pts_seconds', {})),
            num_views=self._num_views(samples, data['inputs']),
            task=data.get('task'),
            losses=data.get('losses'),
            part=data.get('part', 0),
        )
        if self._all_have(samples, 'text_ids'):
            text_ids, text_mask = pad_text([sample.text_ids for sample in samples], self.pad_id, self.text_lengths)
            batch.text_ids, batch.text_mask = text_ids.to(self.device), text_mask.to(self.device)
        if self._all_have(samples, 'answer_ids'):
            self._add_answers(batch, samples)
        if self._all_have(samples, 'target_id'):
            batch.target_ids = torch.tensor([sample.target_id for sample in samples], device=self.device)
        has_label = ['label' in sample for sample in samples]
        batch.has_label = torch.tensor(has_label, device=self.device)
        # Some of a mixture of captions and classes have none: what needs classes then says so.
        if all(has_label):
            batch.labels = torch.tensor([sample.label for sample in samples], device=self.device)
        return dict(batch=batch, data_samples=samples)

    def _moved(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Copy tensors to the device, where they are not there."""
        return {name: tensor.to(self.device, non_blocking=self._non_blocking) for name, tensor in tensors.items()}

    def _add_answers(self, batch: VLBatch, samples: Sequence[VLDataSample]) -> None:
        """Lay the answers of all samples one after the other."""
        answers = [ids for sample in samples for ids in sample.answer_ids]
        answer_ids, answer_mask = pad_text(answers, self.pad_id, self.text_lengths)
        batch.answer_ids, batch.answer_mask = answer_ids.to(self.device), answer_mask.to(self.device)
        weights = [weight for sample in samples for weight in sample.answer_weights]
        batch.answer_weights = torch.tensor(weights, dtype=torch.float32, device=self.device)
        counts = torch.tensor([len(sample.answer_ids) for sample in samples])
        batch.answer_owner = torch.arange(len(samples)).repeat_interleave(counts).to(self.device)

    @staticmethod
    def _num_views(samples: Sequence[VLDataSample], inputs: Mapping[str, Tensor]) -> int:
        counts = {int(sample.get('num_views', 1)) for sample in samples}
        views = max(counts)
        lengths = [values.shape[1] for name, values in inputs.items() if MODALITIES[name].kind == FRAMES]
        if len(counts) > 1 or any(length % views for length in lengths):
            raise OmniVLValueError(
                f'{lengths} frames cannot be dealt out to {sorted(counts)} views: all visuals of a batch need as many '
                'clips and crops, of as many frames each (num_clips of LoadVideo, ThreeCrop, AugmentedViews)'
            )
        return views

    @staticmethod
    def _all_have(samples: Sequence[VLDataSample], field: str) -> bool:
        having = sum(field in sample for sample in samples)
        if having not in (0, len(samples)):
            raise OmniVLValueError(
                f'{having} of {len(samples)} samples of a batch have {field!r}: all or none must '
                '(look at the datasets that MixedDataset joins)'
            )
        return having > 0

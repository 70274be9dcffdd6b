"""From what the transforms leave of a modality to its tensors in a batch: a packer for each kind of values."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from omnivl.errors import OmniVLValueError
from omnivl.registry import PACKERS
from omnivl.structures import FRAMES, MODALITIES


class Packer(ABC):
    """Make the tensors of one kind, without a state of its own.

    Attributes:
        key: Where the transforms leave the values in ``results``.
        pts_key: Where they leave the time stamps.
        may_miss: Whether a sample may come without, as a video without sound does. What is missing is packed too, and
            the mask of the batch tells.
    """

    key: str
    pts_key: str = 'pts_seconds'
    may_miss: bool = False

    @abstractmethod
    def pack(self, results: dict[str, Any]) -> Tensor:
        """Make the tensor of one sample; its first dimension is time, where the modality has it."""

    @abstractmethod
    def collate(self, values: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        """Join what :meth:`pack` made to a batch (B, ...), in a worker.

        The second is a mask, bool (B, N), True = real value; None where nothing is padded.
        """

    def pack_times(self, results: dict[str, Any], count: int) -> Tensor:
        """Make the time stamps of ``count`` values, seconds, float32 (count,).

        They are NaN if they are not known, as of a clip that never was a file.
        """
        times = results.get(self.pts_key)
        if times is None:
            return torch.full((count,), torch.nan)
        if len(times) != count:
            raise OmniVLValueError(
                f'{type(self).__name__}: {self.pts_key!r} has {len(times)} time stamps for {count} values of '
                f'{self.key!r} of {results["visual"]}; a transform has changed one and not the other'
            )
        return torch.from_numpy(np.array(times, dtype=np.float32))

    def collate_times(self, times: Sequence[Tensor]) -> Tensor:
        """Join time stamps, float32 (T_i,) each, to float32 (B, T), with NaN behind the shorter ones."""
        return torch.nn.utils.rnn.pad_sequence(list(times), batch_first=True, padding_value=torch.nan)


@PACKERS.register_module(FRAMES)
class FramePacker(Packer):
    """Pack frames uint8 (T, H, W, 3) as uint8 (T, 3, H, W), contiguous; all clips of a batch are of one size."""

    key = 'frames'

    def pack(self, results: dict[str, Any]) -> Tensor:
        """Turn the channels to the front."""
        frames = results[self.key]
        self._check(frames, results)
        # torch.from_numpy shares memory; frames may be a read-only or reversed view, so one contiguous copy is made.
        return torch.from_numpy(np.array(frames.transpose(0, 3, 1, 2), order='C'))

    def collate(self, values: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        """Stack clips, right in shared memory where it is done in a worker."""
        return default_collate(list(values)), None

    @staticmethod
    def _check(frames: object, results: dict[str, Any]) -> None:
        if isinstance(frames, np.ndarray):
            if frames.dtype == np.uint8 and frames.ndim == 4 and frames.shape[3] == 3 and frames.size:
                return
            got = f'{frames.dtype} {frames.shape}'
        elif isinstance(frames, list | tuple):
            got = f'a {type(frames).__name__} of {sorted({np.shape(frame) for frame in frames})}'
        else:
            got = type(frames).__name__
        raise OmniVLValueError(
            f'PackSample: frames must be one array of equally large frames, uint8 (T, H, W, 3), got {got} for '
            f'{results["visual"]}; a transform of the pipeline before it returned something else'
        )


@cache
def packer_of(modality: str) -> Packer:
    """Return the packer of a modality."""
    return PACKERS.build(dict(type=MODALITIES[modality].kind))

"""The end of the pipeline: a tensor of frames and one data sample."""

from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from omnivl.errors import OmniVLValueError
from omnivl.registry import TRANSFORMS
from omnivl.structures import VLDataSample

from .base import require

META_KEYS = ('sample_id', 'source', 'visual', 'modality')
OPTIONAL_META_KEYS = (
    'clip',
    'text',
    'captions',
    'references',
    'domain',
    'question',
    'answers',
    'question_id',
    'question_type',
    'answer_type',
    'answer_index',
    'num_views',
)
DATA_KEYS = ('text_ids', 'caption_ids', 'answer_ids', 'answer_weights', 'target_id', 'label')


@TRANSFORMS.register_module()
class PackSample(BaseTransform):
    """Packs what the model and the metrics need, and drops the rest.

    Required keys: ``frames``, ``sample_id``, ``source``, ``visual``, ``modality``. Optional keys: ``clip``, ``text``,
    ``captions``, ``references``, ``domain``, ``answer_index``, ``question``, ``answers``, ``question_id``,
    ``question_type``, ``answer_type``, ``num_views`` (meta fields), ``text_ids``, ``caption_ids``, ``answer_ids``,
    ``answer_weights``, ``target_id``, ``label`` (data fields). Returns a new dict with the keys ``inputs``, uint8
    (T, 3, H, W), contiguous, and ``data_samples``, a ``VLDataSample``.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Packs; raises ValueError if the frames are not uint8 (T, H, W, 3)."""
        require(results, self, ('frames', *META_KEYS))
        frames = results['frames']
        self._check(frames, results)
        sample = VLDataSample(
            metainfo={key: results[key] for key in (*META_KEYS, *OPTIONAL_META_KEYS) if results.get(key) is not None}
        )
        for key in DATA_KEYS:
            if results.get(key) is not None:
                setattr(sample, key, results[key])
        # torch.from_numpy shares memory; frames may be a read-only or reversed view, so one contiguous copy is made.
        inputs = torch.from_numpy(np.array(frames.transpose(0, 3, 1, 2), order='C'))
        return {'inputs': inputs, 'data_samples': sample}

    @staticmethod
    def _check(frames: Any, results: dict[str, Any]) -> None:
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

    def __repr__(self) -> str:
        return 'PackSample()'

"""The end of the pipeline: the tensors of each modality, and one data sample."""

from collections.abc import Sequence
from typing import Any

from omnivl.registry import TRANSFORMS
from omnivl.structures import MODALITIES, VLDataSample, check_modality

from .base import Transform, require
from .packers import packer_of

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
    'unknown_words',
)
DATA_KEYS = ('text_ids', 'caption_ids', 'answer_ids', 'answer_weights', 'target_id', 'label')


@TRANSFORMS.register_module()
class PackSample(Transform):
    """Pack what the model and the metrics need, and drop the rest.

    Required keys: what the transforms left of each modality (``frames``), ``sample_id``, ``source``, ``visual``,
    ``modality``. Optional keys: ``pts_seconds``; ``clip``, ``text``, ``captions``, ``references``, ``domain``,
    ``answer_index``, ``question``, ``answers``, ``question_id``, ``question_type``, ``answer_type``, ``num_views``,
    ``unknown_words`` (meta fields); ``text_ids``, ``caption_ids``, ``answer_ids``, ``answer_weights``, ``target_id``,
    ``label`` (data fields). Returns a new dict with the keys ``inputs``, modality -> tensor (of images and videos uint8
    (T, 3, H, W), contiguous), ``pts_seconds``, modality -> float32 (T,) of those that have time, and ``data_samples``,
    a ``VLDataSample``.

    Args:
        beside: Modalities that the transforms loaded beside that of the sample, such as the sound of a video.
    """

    def __init__(self, beside: Sequence[str] = ()) -> None:
        self.beside = tuple(check_modality(name, 'PackSample') for name in beside)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack; raise OmniVLValueError if the values of a modality are not what its packer takes."""
        require(results, self, META_KEYS)
        inputs, times = {}, {}
        for name in (results['modality'], *self.beside):
            packer = packer_of(name)
            if not packer.may_miss:
                require(results, self, (packer.key,))
            inputs[name] = packer.pack(results)
            if MODALITIES[name].has_time:
                times[name] = packer.pack_times(results, len(inputs[name]))
        sample = VLDataSample(
            metainfo={key: results[key] for key in (*META_KEYS, *OPTIONAL_META_KEYS) if results.get(key) is not None}
        )
        # Fields of data stay apart from meta fields: these are what the preprocessor makes tensors of.
        for key in DATA_KEYS:
            if results.get(key) is not None:
                setattr(sample, key, results[key])
        return {'inputs': inputs, 'pts_seconds': times, 'data_samples': sample}

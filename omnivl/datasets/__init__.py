from .base import VisualDataset
from .broken import BrokenCounter, BrokenVisual, SkippedItem
from .choices import ChoiceDataset
from .collate import collate_samples
from .errors import AnnotationError, BrokenVisualError
from .labels import LabelDataset
from .mixed import MixedDataset
from .multi_labels import MultiLabelDataset
from .pairs import PairDataset
from .qa import QADataset
from .retrieval import CaptionDataset, RetrievalDataset
from .samplers import EpochSampler, SampleKey
from .target_ids import caption_target_id, class_target_id
from .workers import init_worker

__all__ = [
    'AnnotationError',
    'BrokenCounter',
    'BrokenVisual',
    'BrokenVisualError',
    'CaptionDataset',
    'ChoiceDataset',
    'EpochSampler',
    'LabelDataset',
    'MixedDataset',
    'MultiLabelDataset',
    'PairDataset',
    'QADataset',
    'RetrievalDataset',
    'SampleKey',
    'SkippedItem',
    'VisualDataset',
    'caption_target_id',
    'class_target_id',
    'collate_samples',
    'init_worker',
]

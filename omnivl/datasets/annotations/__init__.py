from .base import AnnotationReader, Record
from .blip import BLIPCaptionJSON
from .imagenet import ImageNetFolder
from .karpathy import KarpathyJSON
from .kinetics import KineticsCSV, MMActionList
from .tsv import CaptionTSV
from .video_qa import VideoQAList
from .visual_genome import VisualGenome
from .vqa import BLIPQuestionJSON, VQAv2JSON, read_answer_list
from .webvid import WebVidCSV

__all__ = [
    'AnnotationReader',
    'BLIPCaptionJSON',
    'BLIPQuestionJSON',
    'CaptionTSV',
    'ImageNetFolder',
    'KarpathyJSON',
    'KineticsCSV',
    'MMActionList',
    'Record',
    'VQAv2JSON',
    'VideoQAList',
    'VisualGenome',
    'WebVidCSV',
    'read_answer_list',
]

from .base import AnnotationReader, Record
from .blip import BLIPCaptionJSON
from .imagenet import ImageNetFolder
from .karpathy import KarpathyJSON
from .kinetics import KineticsCSV, MMActionList
from .tsv import CaptionTSV
from .visual_genome import VisualGenome
from .webvid import WebVidCSV

__all__ = [
    'AnnotationReader',
    'BLIPCaptionJSON',
    'CaptionTSV',
    'ImageNetFolder',
    'KarpathyJSON',
    'KineticsCSV',
    'MMActionList',
    'Record',
    'VisualGenome',
    'WebVidCSV',
]

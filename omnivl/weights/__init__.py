from .base import WeightReader, WeightsError, load_weights
from .bert import BERTReader
from .blip import BLIPReader
from .clip import CLIPVisionReader
from .folders import BLIPFolder, FolderKind
from .report import WeightReport
from .stage import StageReader
from .timesformer import TimeSformerReader
from .timm import TimmViTReader

__all__ = [
    'BERTReader',
    'BLIPFolder',
    'BLIPReader',
    'CLIPVisionReader',
    'FolderKind',
    'StageReader',
    'TimeSformerReader',
    'TimmViTReader',
    'WeightReader',
    'WeightReport',
    'WeightsError',
    'load_weights',
]

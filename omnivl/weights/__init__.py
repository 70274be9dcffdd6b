from .base import WeightReader, WeightsError, load_weights
from .bert import BERTReader
from .blip import BLIPReader
from .clip import CLIPVisionReader
from .export import export_folder, load_exported
from .export_blip import export_blip
from .report import WeightReport
from .stage import StageReader
from .timesformer import TimeSformerReader
from .timm import TimmViTReader

__all__ = [
    'BERTReader',
    'BLIPReader',
    'CLIPVisionReader',
    'StageReader',
    'TimeSformerReader',
    'TimmViTReader',
    'WeightReader',
    'WeightReport',
    'WeightsError',
    'export_blip',
    'export_folder',
    'load_exported',
    'load_weights',
]

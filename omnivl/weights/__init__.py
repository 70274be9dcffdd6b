from .base import WeightReader, WeightReport, load_weights
from .bert import BERTReader
from .stage import StageReader
from .timm import TimmViTReader

__all__ = ['BERTReader', 'StageReader', 'TimmViTReader', 'WeightReader', 'WeightReport', 'load_weights']

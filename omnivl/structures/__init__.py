from .batch import TextFeatures, VisualFeatures, VLBatch
from .data_sample import VLDataSample

__all__ = ['TextFeatures', 'VLBatch', 'VLDataSample', 'VisualFeatures']

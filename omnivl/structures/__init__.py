from .batch import TextFeatures, VisualFeatures, VLBatch
from .data_sample import VLDataSample
from .modality import FRAMES, IMAGE, MODALITIES, VIDEO, Modality, check_modality, modality_of_path, register_modality

__all__ = [
    'FRAMES',
    'IMAGE',
    'MODALITIES',
    'VIDEO',
    'Modality',
    'TextFeatures',
    'VLBatch',
    'VLDataSample',
    'VisualFeatures',
    'check_modality',
    'modality_of_path',
    'register_modality',
]

from .batch import TextFeatures, VisualFeatures, VLBatch
from .data_sample import VLDataSample
from .modality import (
    AUDIO,
    FRAMES,
    IMAGE,
    MODALITIES,
    VIDEO,
    WAVEFORM,
    Modality,
    check_modality,
    modality_of_path,
    register_modality,
)

__all__ = [
    'AUDIO',
    'FRAMES',
    'IMAGE',
    'MODALITIES',
    'VIDEO',
    'WAVEFORM',
    'Modality',
    'TextFeatures',
    'VLBatch',
    'VLDataSample',
    'VisualFeatures',
    'check_modality',
    'modality_of_path',
    'register_modality',
]

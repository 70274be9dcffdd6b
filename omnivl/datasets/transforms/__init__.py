from .backends import DecordDecoder, OpenCVDecoder, PyAVDecoder
from .decoders import VideoDecoder, VideoReader, build_decoder
from .loading import LoadImage, LoadVideo
from .packing import PackSample
from .randaugment import RandAugment
from .sampling import segment_indices
from .text import CleanCaption, CleanQuestion, TokenizeText, clean_caption, clean_question
from .visual import CenterCrop, ColorContrast, RandomFlip, RandomResizedCrop, RandomShift, Resize

__all__ = [
    'CenterCrop',
    'CleanCaption',
    'CleanQuestion',
    'ColorContrast',
    'DecordDecoder',
    'LoadImage',
    'LoadVideo',
    'OpenCVDecoder',
    'PackSample',
    'PyAVDecoder',
    'RandAugment',
    'RandomFlip',
    'RandomResizedCrop',
    'RandomShift',
    'Resize',
    'TokenizeText',
    'VideoDecoder',
    'VideoReader',
    'build_decoder',
    'clean_caption',
    'clean_question',
    'segment_indices',
]

from .audio import LoadAudio, LoadSoundtrack
from .backends import DecordDecoder, OpenCVDecoder, PyAVDecoder
from .cifar import LoadCIFAR
from .decoders import VideoDecoder, VideoReader, build_decoder
from .loading import LoadImage, LoadVideo
from .packers import FramePacker, Packer
from .packing import PackSample
from .randaugment import RandAugment
from .sampling import clip_indices, segment_indices
from .text import CleanCaption, CleanQuestion, TokenizeText, clean_caption, clean_question
from .views import AugmentedViews, ShuffleFrames, ThreeCrop
from .visual import CenterCrop, ColorContrast, RandomFlip, RandomResizedCrop, RandomShift, Resize
from .waveforms import MaskTime, RandomGain, RandomNoise, WaveformPacker

__all__ = [
    'AugmentedViews',
    'CenterCrop',
    'CleanCaption',
    'CleanQuestion',
    'ColorContrast',
    'DecordDecoder',
    'FramePacker',
    'LoadAudio',
    'LoadCIFAR',
    'LoadImage',
    'LoadSoundtrack',
    'LoadVideo',
    'MaskTime',
    'OpenCVDecoder',
    'PackSample',
    'Packer',
    'PyAVDecoder',
    'RandAugment',
    'RandomFlip',
    'RandomGain',
    'RandomNoise',
    'RandomResizedCrop',
    'RandomShift',
    'Resize',
    'ShuffleFrames',
    'ThreeCrop',
    'TokenizeText',
    'VideoDecoder',
    'VideoReader',
    'WaveformPacker',
    'build_decoder',
    'clean_caption',
    'clean_question',
    'clip_indices',
    'segment_indices',
]

from .audioset import AudioSetCSV, MultiLabelRecord
from .base import AnnotationReader, Record
from .blip import BLIPCaptionJSON, CaptionDictJSON
from .choices import MultipleChoiceList
from .cifar import CIFARBinary
from .coco_captions import COCOCaptions, ImageListJSON
from .didemo import DiDeMoJSON, ParagraphCaptions
from .flowers import Flowers102
from .hmdb51 import HMDB51Splits
from .image_lists import ClassImageList, OxfordPetsList
from .imagenet import ImageNetFolder
from .karpathy import KarpathyJSON
from .kinetics import KineticsCSV, MMActionList
from .mapped import MappedClasses, read_label_map
from .movies import ActivityNetCaptions, LSMDCTable
from .msrvtt import MSRVTTJSON, MSRVTTTestCSV
from .msvd import MSVDText
from .narrations import NarratedVideos
from .parquet import FetchedParquet
from .record_list import RecordList
from .shards import ShardIndex
from .something_something import SomethingSomethingJSON
from .sound_classes import ESC50CSV, SpeechCommandsFolder, VGGSoundCSV
from .tsv import CaptionTSV
from .ucf101 import UCF101List
from .video_qa import VideoQAList
from .visual_genome import VisualGenome, WithoutCOCO
from .vqa import BLIPQuestionJSON, VQAv2JSON, read_answer_list
from .webvid import WebVidCSV
from .youcook2 import VideoSegmentList, YouCook2JSON

__all__ = [
    'ESC50CSV',
    'MSRVTTJSON',
    'ActivityNetCaptions',
    'AnnotationReader',
    'AudioSetCSV',
    'BLIPCaptionJSON',
    'BLIPQuestionJSON',
    'CIFARBinary',
    'COCOCaptions',
    'CaptionDictJSON',
    'CaptionTSV',
    'ClassImageList',
    'DiDeMoJSON',
    'FetchedParquet',
    'Flowers102',
    'HMDB51Splits',
    'ImageListJSON',
    'ImageNetFolder',
    'KarpathyJSON',
    'KineticsCSV',
    'LSMDCTable',
    'MMActionList',
    'MSRVTTTestCSV',
    'MSVDText',
    'MappedClasses',
    'MultiLabelRecord',
    'MultipleChoiceList',
    'NarratedVideos',
    'OxfordPetsList',
    'ParagraphCaptions',
    'Record',
    'RecordList',
    'ShardIndex',
    'SomethingSomethingJSON',
    'SpeechCommandsFolder',
    'UCF101List',
    'VGGSoundCSV',
    'VQAv2JSON',
    'VideoQAList',
    'VideoSegmentList',
    'VisualGenome',
    'WebVidCSV',
    'WithoutCOCO',
    'YouCook2JSON',
    'read_answer_list',
    'read_label_map',
]

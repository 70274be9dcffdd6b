"""MSR-VTT's official split for captions: 6513 / 497 / 2990 videos in train / val / test, 20 captions each."""

from omnivl.datasets import CaptionDataset, PairDataset
from omnivl.datasets.annotations import MSRVTTJSON

msrvtt_train_val = dict(
    type=MSRVTTJSON,
    ann_file='data/msrvtt/annotations/train_val_videodatainfo.json',
    visual_root='data/msrvtt/videos',
)
msrvtt_caption_train = dict(
    type=PairDataset, name='msrvtt_train', annotations=dict(msrvtt_train_val, split='train'), broken='replace'
)
msrvtt_caption_val = dict(type=CaptionDataset, name='msrvtt_val', annotations=dict(msrvtt_train_val, split='validate'))
msrvtt_caption_test = dict(
    type=CaptionDataset,
    name='msrvtt_test',
    annotations=dict(
        type=MSRVTTJSON,
        ann_file='data/msrvtt/annotations/test_videodatainfo.json',
        visual_root='data/msrvtt/videos',
        split='test',
    ),
)

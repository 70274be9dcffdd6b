"""Flickr30k, Karpathy's split in BLIP's form: 29k images to train on, 1000 each for validation and test."""

from omnivl.datasets import PairDataset, RetrievalDataset
from omnivl.datasets.annotations import BLIPCaptionJSON

flickr30k = dict(type=BLIPCaptionJSON, visual_root='data/flickr30k')
flickr30k_train = dict(
    type=PairDataset,
    name='flickr30k_train',
    annotations=dict(flickr30k, ann_file='data/flickr30k/annotations/flickr30k_train.json'),
    positives='visual',
    broken='replace',
)
flickr30k_val = dict(
    type=RetrievalDataset,
    name='flickr30k_val',
    annotations=dict(flickr30k, ann_file='data/flickr30k/annotations/flickr30k_val.json'),
)
flickr30k_test = dict(
    type=RetrievalDataset,
    name='flickr30k_test',
    annotations=dict(flickr30k, ann_file='data/flickr30k/annotations/flickr30k_test.json'),
)

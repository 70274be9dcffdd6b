"""COCO for retrieval, Karpathy's split in BLIP's form: 113k images to train on, 5000 each for validation and test."""

from omnivl.datasets import PairDataset, RetrievalDataset
from omnivl.datasets.annotations import BLIPCaptionJSON

karpathy = dict(type=BLIPCaptionJSON, visual_root='data/coco/images')
coco_retrieval_train = dict(
    type=PairDataset,
    name='coco_train',
    annotations=dict(karpathy, ann_file='data/coco/annotations/coco_karpathy_train.json'),
    positives='visual',
    broken='replace',
)
coco_retrieval_val = dict(
    type=RetrievalDataset,
    name='coco_val',
    annotations=dict(karpathy, ann_file='data/coco/annotations/coco_karpathy_val.json'),
)
coco_retrieval_test = dict(
    type=RetrievalDataset,
    name='coco_test',
    annotations=dict(karpathy, ann_file='data/coco/annotations/coco_karpathy_test.json'),
)

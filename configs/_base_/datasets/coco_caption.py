"""COCO captions, Karpathy's split in BLIP's form: 113k images, 567k captions."""

from omnivl.datasets import PairDataset
from omnivl.datasets.annotations import BLIPCaptionJSON, KarpathyJSON

coco_train = dict(
    type=PairDataset,
    name='coco',
    annotations=dict(
        type=BLIPCaptionJSON,
        ann_file='data/coco/annotations/coco_karpathy_train.json',
        visual_root='data/coco/images',
    ),
    broken='replace',
)
# The same from Karpathy's own file.
coco_train_karpathy = dict(
    type=PairDataset,
    name='coco',
    annotations=dict(
        type=KarpathyJSON,
        ann_file='data/coco/annotations/dataset_coco.json',
        visual_root='data/coco/images',
        split='train',
    ),
    broken='replace',
)

"""COCO captions, Karpathy's split in BLIP's form: 113k images, 567k captions; val and test 5k images each."""

from omnivl.datasets import CaptionDataset, PairDataset
from omnivl.datasets.annotations import BLIPCaptionJSON, COCOCaptions, KarpathyJSON

karpathy = dict(type=BLIPCaptionJSON, visual_root='data/coco/images')
coco_train = dict(
    type=PairDataset,
    name='coco',
    annotations=dict(karpathy, ann_file='data/coco/annotations/coco_karpathy_train.json'),
    broken='replace',
)
# The same from Karpathy's own file.
coco_train_karpathy = dict(
    coco_train,
    annotations=dict(
        type=KarpathyJSON,
        ann_file='data/coco/annotations/dataset_coco.json',
        visual_root='data/coco/images',
        split='train',
    ),
)
coco_caption_val = dict(
    type=CaptionDataset,
    name='coco_val',
    annotations=dict(karpathy, ann_file='data/coco/annotations/coco_karpathy_val.json'),
)
coco_caption_test = dict(
    type=CaptionDataset,
    name='coco_test',
    annotations=dict(karpathy, ann_file='data/coco/annotations/coco_karpathy_test.json'),
)
# The 40,775 images whose captions only the server has.
coco_caption_server = dict(
    type=CaptionDataset,
    name='coco_test2014',
    annotations=dict(
        type=COCOCaptions,
        ann_file='data/coco/annotations/image_info_test2014.json',
        visual_root='data/coco/images/test2014',
    ),
)

"""NoCaps: 4500 images with ten captions each in val, 10,600 without in test; images of Open Images."""

from omnivl.datasets import CaptionDataset
from omnivl.datasets.annotations import COCOCaptions

nocaps_val = dict(
    type=CaptionDataset,
    name='nocaps_val',
    annotations=dict(
        type=COCOCaptions,
        ann_file='data/nocaps/nocaps_val_4500_captions.json',
        visual_root='data/nocaps/images/val',
    ),
)
nocaps_test = dict(
    type=CaptionDataset,
    name='nocaps_test',
    annotations=dict(
        type=COCOCaptions,
        ann_file='data/nocaps/nocaps_test_image_info.json',
        visual_root='data/nocaps/images/test',
    ),
)

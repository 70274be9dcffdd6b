"""Visual Genome region descriptions, in BLIP's form: 100k images, 769k captions.

Left out are the pictures that are in Karpathy's val and test of COCO as well; BLIP and the paper train on them.
"""

from omnivl.datasets import PairDataset
from omnivl.datasets.annotations import BLIPCaptionJSON, WithoutCOCO

visual_genome_train = dict(
    type=PairDataset,
    name='visual_genome',
    annotations=dict(
        type=WithoutCOCO,
        annotations=dict(
            type=BLIPCaptionJSON,
            ann_file='data/visual_genome/annotations/vg_caption.json',
            visual_root='data/visual_genome',
        ),
        image_file='data/visual_genome/image_data.json',
        coco_files=[
            'data/coco/annotations/coco_karpathy_val.json',
            'data/coco/annotations/coco_karpathy_test.json',
        ],
    ),
    broken='replace',
)

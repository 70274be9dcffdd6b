"""Visual Genome region descriptions, in BLIP's form: 100k images, 769k captions."""

from omnivl.datasets import PairDataset
from omnivl.datasets.annotations import BLIPCaptionJSON

visual_genome_train = dict(
    type=PairDataset,
    name='visual_genome',
    annotations=dict(
        type=BLIPCaptionJSON,
        ann_file='data/visual_genome/annotations/vg_caption.json',
        visual_root='data/visual_genome',
    ),
    broken='replace',
)

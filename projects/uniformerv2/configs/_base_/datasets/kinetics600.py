"""Kinetics-600 in its official CSV: about 392k training clips, 600 classes."""

from omnivl.datasets import LabelDataset
from omnivl.datasets.annotations import KineticsCSV

kinetics600_train = dict(
    type=LabelDataset,
    name='kinetics600',
    annotations=dict(
        type=KineticsCSV,
        ann_file='data/kinetics600/annotations/train.csv',
        visual_root='data/kinetics600/train',
        split='train',
    ),
    broken='replace',
    max_broken_share=0.05,
)
kinetics600_test = dict(
    type=LabelDataset,
    name='kinetics600_test',
    annotations=dict(
        type=KineticsCSV,
        ann_file='data/kinetics600/annotations/validate.csv',
        visual_root='data/kinetics600/val',
        split='validate',
    ),
    broken='skip',
    max_broken_share=0.05,
)

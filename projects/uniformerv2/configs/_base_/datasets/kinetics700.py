"""Kinetics-700 in its official CSV: about 545k training clips, 700 classes."""

from omnivl.datasets import LabelDataset
from omnivl.datasets.annotations import KineticsCSV

kinetics700_train = dict(
    type=LabelDataset,
    name='kinetics700',
    annotations=dict(
        type=KineticsCSV,
        ann_file='data/kinetics700/annotations/train.csv',
        visual_root='data/kinetics700/train',
        split='train',
    ),
    broken='replace',
    max_broken_share=0.05,
)
kinetics700_test = dict(
    type=LabelDataset,
    name='kinetics700_test',
    annotations=dict(
        type=KineticsCSV,
        ann_file='data/kinetics700/annotations/validate.csv',
        visual_root='data/kinetics700/val',
        split='validate',
    ),
    broken='skip',
    max_broken_share=0.05,
)

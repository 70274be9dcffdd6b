"""HMDB51 in its official files, split 1: 3,570 / 1,530 videos in train / test, 51 classes."""

from omnivl.datasets import LabelDataset
from omnivl.datasets.annotations import HMDB51Splits

hmdb51 = dict(
    type=HMDB51Splits,
    splits_root='data/hmdb51/testTrainMulti_7030_splits',
    visual_root='data/hmdb51/videos',
    split=1,
)
hmdb51_train = dict(type=LabelDataset, name='hmdb51_train', annotations=dict(hmdb51, part='train'))
hmdb51_test = dict(type=LabelDataset, name='hmdb51_test', annotations=dict(hmdb51, part='test'))

"""YouCook2: 2000 videos of cooking, their steps as segments with a sentence each; about 10k / 3.5k in train / val."""

from omnivl.datasets import CaptionDataset, PairDataset
from omnivl.datasets.annotations import YouCook2JSON

youcook2 = dict(
    type=YouCook2JSON,
    ann_file='data/youcook2/annotations/youcookii_annotations_trainval.json',
    visual_root='data/youcook2/raw_videos',
)
youcook2_train = dict(
    type=PairDataset, name='youcook2_train', annotations=dict(youcook2, split='training'), broken='replace'
)
# What is published of its annotations ends here: everybody tests on val.
youcook2_val = dict(type=CaptionDataset, name='youcook2_val', annotations=dict(youcook2, split='validation'))

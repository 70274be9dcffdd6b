"""Moments in Time v1 by mmaction2's lists: about 0.8 M training clips of three seconds, 339 classes."""

from omnivl.datasets import LabelDataset
from omnivl.datasets.annotations import MMActionList

mit_train = dict(
    type=LabelDataset,
    name='mit',
    annotations=dict(
        type=MMActionList,
        ann_file='data/mit/mit_train_list_videos.txt',
        visual_root='data/mit/videos/training',
        classes_file='data/mit/label_map.txt',
    ),
    broken='replace',
)
mit_test = dict(
    type=LabelDataset,
    name='mit_test',
    annotations=dict(
        type=MMActionList,
        ann_file='data/mit/mit_val_list_videos.txt',
        visual_root='data/mit/videos/validation',
        classes_file='data/mit/label_map.txt',
    ),
    broken='skip',
    max_broken_share=0.05,
)

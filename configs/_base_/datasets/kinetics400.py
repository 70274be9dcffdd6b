"""Kinetics-400 as video-label data: about 240k clips, 400 classes, ActionCLIP's prompts."""

from omnivl.datasets import LabelDataset
from omnivl.datasets.annotations import KineticsCSV, MMActionList

kinetics400_train = dict(
    type=LabelDataset,
    name='kinetics400',
    annotations=dict(
        type=KineticsCSV,
        ann_file='data/kinetics400/annotations/train.csv',
        visual_root='data/kinetics400/train',
        split='train',
    ),
    templates='actionclip',
    broken='replace',
    max_broken_share=0.05,
)
# The same from mmaction2's list.
kinetics400_train_list = dict(
    kinetics400_train,
    annotations=dict(
        type=MMActionList,
        ann_file='data/kinetics400/kinetics400_train_list_videos.txt',
        visual_root='data/kinetics400/videos_train',
        classes_file='data/kinetics400/label_map_k400.txt',
    ),
)
# The validation set, which is what is reported; many of its clips are gone, so the log counts them.
kinetics400_test = dict(
    type=LabelDataset,
    name='kinetics400_test',
    annotations=dict(
        type=KineticsCSV,
        ann_file='data/kinetics400/annotations/validate.csv',
        visual_root='data/kinetics400/val',
        split='validate',
    ),
    broken='skip',
    max_broken_share=0.05,
)

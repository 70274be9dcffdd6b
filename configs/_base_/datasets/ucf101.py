"""UCF101 in its official files, split 1: 9,537 / 3,783 videos in train / test, 101 classes."""

from omnivl.datasets import LabelDataset
from omnivl.datasets.annotations import UCF101List

ucf101 = dict(type=UCF101List, classes_file='data/ucf101/annotations/classInd.txt', visual_root='data/ucf101/videos')
ucf101_train = dict(
    type=LabelDataset,
    name='ucf101_train',
    annotations=dict(ucf101, ann_file='data/ucf101/annotations/trainlist01.txt'),
)
ucf101_test = dict(
    type=LabelDataset, name='ucf101_test', annotations=dict(ucf101, ann_file='data/ucf101/annotations/testlist01.txt')
)

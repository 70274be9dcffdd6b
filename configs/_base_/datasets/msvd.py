"""MSVD for retrieval: 1200 / 100 / 670 clips in train / val / test, about 41 captions each, each a query of its own."""

from omnivl.datasets import PairDataset, RetrievalDataset
from omnivl.datasets.annotations import MSVDText

msvd = dict(type=MSVDText, ann_file='data/msvd/annotations/AllVideoDescriptions.txt', visual_root='data/msvd/videos')
msvd_train = dict(
    type=PairDataset,
    name='msvd_train',
    annotations=dict(msvd, videos_file='data/msvd/annotations/train_list.txt'),
    positives='visual',
    broken='replace',
)
msvd_val = dict(
    type=RetrievalDataset,
    name='msvd_val',
    annotations=dict(msvd, videos_file='data/msvd/annotations/val_list.txt'),
)
msvd_test = dict(
    type=RetrievalDataset,
    name='msvd_test',
    annotations=dict(msvd, videos_file='data/msvd/annotations/test_list.txt'),
)

"""WebVid-2.5M: video-text pairs."""

from omnivl.datasets import PairDataset
from omnivl.datasets.annotations import WebVidCSV

webvid_train = dict(
    type=PairDataset,
    name='webvid',
    annotations=dict(
        type=WebVidCSV, ann_file='data/webvid/annotations/results_2M_train.csv', visual_root='data/webvid/videos'
    ),
    broken='replace',
    max_broken_share=0.05,
)

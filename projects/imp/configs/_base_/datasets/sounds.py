"""Narrated videos with their sound, HowTo100M (1.2M videos, 136M clips), and sounds with classes, AudioSet (2M)."""

from omnivl.datasets import MultiLabelDataset, PairDataset
from omnivl.datasets.annotations import AudioSetCSV, NarratedVideos

howto100m_train = dict(
    type=PairDataset,
    name='howto100m',
    annotations=dict(
        type=NarratedVideos,
        ann_file='data/howto100m/HowTo100M_v1.csv',
        captions_root='data/howto100m/captions',
        visual_root='data/howto100m/videos',
        min_seconds=8.192,
    ),
    broken='replace',
    max_broken_share=0.1,
)
audioset = dict(
    type=AudioSetCSV, visual_root='data/audioset/train', classes_file='data/audioset/class_labels_indices.csv'
)
audioset_train = dict(
    type=MultiLabelDataset,
    name='audioset',
    annotations=dict(audioset, ann_file='data/audioset/unbalanced_train_segments.csv'),
    broken='replace',
    max_broken_share=0.2,
)

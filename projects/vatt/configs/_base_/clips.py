"""Clips with sound: HowTo100M's, each with five sentences said around it, and AudioSet's, without any."""

from omnivl.datasets.annotations import AudioSetCSV, NarratedVideos
from projects.vatt.data import CandidateDataset

# Moments of 3.2 s: 32 frames at 10 a second, and 153,600 samples at 48 kHz.
moments = dict(type=CandidateDataset, seconds=3.2, broken='replace', max_broken_share=0.05)
howto100m_train = dict(
    moments,
    name='howto100m',
    annotations=dict(
        type=NarratedVideos,
        ann_file='data/howto100m/HowTo100M_v1.csv',
        captions_root='data/howto100m/captions',
        visual_root='data/howto100m/videos',
        candidates=5,
        min_seconds=3.2,
        empty='drop',
    ),
)
audioset_train = dict(
    moments,
    name='audioset',
    file_seconds=10.0,
    annotations=dict(
        type=AudioSetCSV,
        ann_file='data/audioset/unbalanced_train_segments.csv',
        visual_root='data/audioset/videos',
        classes_file='data/audioset/class_labels_indices.csv',
        modality='video',
        path_template='{youtube_id}.mp4',
    ),
)

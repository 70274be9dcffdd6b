"""Demo: as demo_pretrain.py, on narrated videos of several clips; half of the sentences come too early or too late.

A clip is 2 s around a sentence, and its texts are that one and the four said nearest to it, of which any may be the
right one (MIL-NCE). With ``--cfg-options model.data_preprocessor.num_texts=1`` it is the sentence alone (NCE).
"""

from mmengine.config import read_base

from omnivl.datasets.annotations import NarratedVideos

with read_base():
    from .demo_pretrain import *

train_dataloader.video.dataset = dict(
    type=CandidateDataset,
    name='demo_narrated',
    annotations=dict(
        type=NarratedVideos,
        ann_file=f'{data_root}/annotations/narrations_train.json',
        visual_root=f'{data_root}/narrated',
        candidates=5,
        min_seconds=2.0,
    ),
    seconds=2.0,
    pipeline=train_pipeline,
    broken='replace',  # sixty of the 3920 sentences come after the end of their video
    max_broken_share=0.05,
)

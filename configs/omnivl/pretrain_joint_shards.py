"""Stage 2 as ``pretrain_joint.py``, read from shards.

Write them with ``omnivl pack pretrain_joint --out data/shards``; see ``pretrain_image_shards.py``.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.shards import *
    from .pretrain_joint import *

train_dataloader.image.sampler.window = train_dataloader.video.sampler.window = 8
train_dataloader.image.dataset.datasets = [
    dict(coco_shards, pipeline=image_pipeline),
    dict(visual_genome_shards, pipeline=image_pipeline),
    dict(cc3m_shards, pipeline=image_pipeline),
    dict(cc12m_shards, pipeline=image_pipeline),
    dict(sbu_shards, pipeline=image_pipeline),
    dict(imagenet_shards, pipeline=image_pipeline),
]
train_dataloader.video.dataset.datasets = [
    dict(webvid_shards, pipeline=video_pipeline),
    dict(kinetics400_shards, pipeline=video_pipeline),
]
load_from.file = 'work_dirs/pretrain_image_shards'

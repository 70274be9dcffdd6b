"""Stage 1 as ``pretrain_image.py``, read from shards: thousands of large files in the place of millions of small ones.

Write the shards with ``omnivl pack pretrain_image --out data/shards``. They come in a drawn order, and samples are
mixed within 8 shards of each set; batches are the same on any number of GPUs.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.shards import *
    from .pretrain_image import *

train_dataloader.image.sampler.window = 8
train_dataloader.image.dataset.datasets = [
    dict(coco_shards, pipeline=image_pipeline),
    dict(visual_genome_shards, pipeline=image_pipeline),
    dict(cc3m_shards, pipeline=image_pipeline),
    dict(cc12m_shards, pipeline=image_pipeline),
    dict(sbu_shards, pipeline=image_pipeline),
    dict(imagenet_shards, pipeline=image_pipeline),
]

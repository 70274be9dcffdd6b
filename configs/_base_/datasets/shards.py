"""The sets of pretraining as shards with an index, as ``omnivl pack pretrain_joint --out data/shards`` writes them.

Shards of img2dataset and video2dataset do as well: ``omnivl shards data/shards/cc12m`` writes their index.
"""

from mmengine.config import read_base

from omnivl.datasets.annotations import ShardIndex

with read_base():
    from .coco_caption import *
    from .imagenet import *
    from .kinetics400 import *
    from .visual_genome import *
    from .web_images import *
    from .webvid import *

coco_shards = dict(coco_train, annotations=dict(type=ShardIndex, ann_file='data/shards/coco/index.npz'))
visual_genome_shards = dict(
    visual_genome_train, annotations=dict(type=ShardIndex, ann_file='data/shards/visual_genome/index.npz')
)
cc3m_shards = dict(cc3m_train, annotations=dict(type=ShardIndex, ann_file='data/shards/cc3m/index.npz'))
cc12m_shards = dict(cc12m_train, annotations=dict(type=ShardIndex, ann_file='data/shards/cc12m/index.npz'))
sbu_shards = dict(sbu_train, annotations=dict(type=ShardIndex, ann_file='data/shards/sbu/index.npz'))
imagenet_shards = dict(
    imagenet_train,
    annotations=dict(
        type=ShardIndex,
        ann_file='data/shards/imagenet/index.npz',
        classes_file='data/shards/imagenet/classes.txt',
        class_names_file='data/shards/imagenet/class_names.txt',
    ),
)
webvid_shards = dict(
    webvid_train, annotations=dict(type=ShardIndex, ann_file='data/shards/webvid/index.npz', modality='video')
)
kinetics400_shards = dict(
    kinetics400_train,
    annotations=dict(
        type=ShardIndex,
        ann_file='data/shards/kinetics400/index.npz',
        modality='video',
        classes_file='data/shards/kinetics400/classes.txt',
        class_names_file='data/shards/kinetics400/class_names.txt',
    ),
)

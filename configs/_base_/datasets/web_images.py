"""Web image-text pairs: CC3M (3M), CC12M (10M) and SBU (860k), in BLIP's form, ``[{image, caption}]``.

Many of these images are gone: what is missing is replaced, counted and reported, and a run stops where more than
``max_broken_share`` is missing. Better: list what is missing once and give the list as ``bad_files``.
"""

from omnivl.datasets import PairDataset
from omnivl.datasets.annotations import BLIPCaptionJSON

web = dict(type=PairDataset, broken='replace', max_broken_share=0.05)
cc3m_train = dict(
    web,
    name='cc3m',
    annotations=dict(
        type=BLIPCaptionJSON, ann_file='data/cc3m/annotations/cc3m_train.json', visual_root='data/cc3m/images'
    ),
)
cc12m_train = dict(
    web,
    name='cc12m',
    annotations=dict(
        type=BLIPCaptionJSON, ann_file='data/cc12m/annotations/cc12m.json', visual_root='data/cc12m/images'
    ),
)
sbu_train = dict(
    web,
    name='sbu',
    annotations=dict(type=BLIPCaptionJSON, ann_file='data/sbu/annotations/sbu.json', visual_root='data/sbu/images'),
)

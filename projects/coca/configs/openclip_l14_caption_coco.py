"""LAION's CoCa, ViT-L/14, finetuned on COCO captions; batch and values are in ``_base_/openclip_caption.py``."""

from mmengine.config import read_base

from projects.coca.weights import OpenCLIPCoCaReader

with read_base():
    from ._base_.models.openclip_large_14 import *
    from ._base_.openclip_caption import *

model.update(contrastive_weight=0.0, caption_weight=1.0)
load_from = dict(type=OpenCLIPCoCaReader, file='hf://laion/CoCa-ViT-L-14-laion2B-s13B-b90k')

"""LAION's CoCa, ViT-L/14, as they finetuned it on COCO captions. Only tests."""

from mmengine.config import read_base

from projects.coca.weights import OpenCLIPCoCaReader

with read_base():
    from ._base_.models.openclip_large_14 import *
    from ._base_.openclip_caption_test import *

model.update(contrastive_weight=0.0)
load_from = dict(type=OpenCLIPCoCaReader, file='hf://laion/mscoco_finetuned_CoCa-ViT-L-14-laion2B-s13B-b90k')

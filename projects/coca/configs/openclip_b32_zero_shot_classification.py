"""LAION's CoCa, ViT-B/32 on 13B samples of LAION-2B, on the classes of ImageNet. Only tests. Published: 63.3, top-1."""

from mmengine.config import read_base

from projects.coca.weights import OpenCLIPCoCaReader

with read_base():
    from ._base_.models.openclip_base_32 import *
    from ._base_.openclip_classification import *

load_from = dict(type=OpenCLIPCoCaReader, file='hf://laion/CoCa-ViT-B-32-laion2B-s13B-b90k')

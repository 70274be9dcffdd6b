"""LAION's CoCa, ViT-L/14 on 13B samples of LAION-2B, on the classes of ImageNet. Only tests. Published: 75.6, top-1."""

from mmengine.config import read_base

from projects.coca.weights import OpenCLIPCoCaReader

with read_base():
    from ._base_.models.openclip_large_14 import *
    from ._base_.openclip_classification import *

load_from = dict(type=OpenCLIPCoCaReader, file='hf://laion/CoCa-ViT-L-14-laion2B-s13B-b90k')

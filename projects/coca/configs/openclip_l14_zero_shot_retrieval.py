"""LAION's CoCa, ViT-L/14 on 13B samples of LAION-2B, on COCO and Flickr30k. Only tests.

Published recall at 1, text to image and back: Flickr30k 74.3 and 88.4, COCO 45.7 and 62.9.
"""

from mmengine.config import read_base

from projects.coca.weights import OpenCLIPCoCaReader

with read_base():
    from ._base_.models.openclip_large_14 import *
    from ._base_.openclip_retrieval import *

load_from = dict(type=OpenCLIPCoCaReader, file='hf://laion/CoCa-ViT-L-14-laion2B-s13B-b90k')

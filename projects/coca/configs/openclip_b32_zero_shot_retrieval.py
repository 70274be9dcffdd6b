"""LAION's CoCa, ViT-B/32 on 13B samples of LAION-2B, on COCO and Flickr30k. Only tests.

Published recall at 1, text to image and back: Flickr30k 63.4 and 81.6, COCO 36.2 and 54.6.
"""

from mmengine.config import read_base

from projects.coca.weights import OpenCLIPCoCaReader

with read_base():
    from ._base_.models.openclip_base_32 import *
    from ._base_.openclip_retrieval import *

load_from = dict(type=OpenCLIPCoCaReader, file='hf://laion/CoCa-ViT-B-32-laion2B-s13B-b90k')

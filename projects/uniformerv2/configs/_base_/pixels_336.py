"""As pixels_224.py, at 336 pixels, of frames whose shorter side is 384 (the published range is 384 to 480)."""

from mmengine.config import read_base

with read_base():
    from .pixels_224 import *

load.short_side = 384
mirrored[1].size = two_unmirrored[0].transforms[0].size = 336
center_crop[0].size = center_crop[1].size = 336
three_crops[0].size = three_crops[1].size = 336

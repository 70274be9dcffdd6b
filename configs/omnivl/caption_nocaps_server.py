"""Captions of NoCaps' test images, for its server (EvalAI); only tests, as configs/omnivl/caption_nocaps.py.

omnivl test --submit writes nocaps_test.json. The server has the captions to compare with, so no figures are printed.
"""

from mmengine.config import read_base

with read_base():
    from .caption_nocaps import *

test_dataloader['image.caption'].dataset = dict(nocaps_test, pipeline=image_test_pipeline)
test_evaluator['image.caption'].submission_file = 'nocaps_test.json'

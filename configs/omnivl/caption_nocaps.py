"""OmniVL on NoCaps, val, with the weights finetuned on COCO captions; only tests.

The paper's result, second-hand: CIDEr 107.5, SPICE 14.7 over all; on which half it does not reach us. The rows to
compare are cider_beam and spice_beam, and cider_in_domain_beam, cider_near_domain_beam, cider_out_domain_beam; each
domain is scored as a set of its own. They need pycocoevalcap and Java, SPICE its models as well; what is missing is
named in the protocol.
Start: configs/omnivl/caption_coco.py. 384 pixels are the paper's; the prompt, 3 beams, 5 to 20 word pieces BLIP's.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.nocaps import *
    from .caption_coco_server import *

test_dataloader['image.caption'].dataset = dict(nocaps_val, pipeline=image_test_pipeline)
test_evaluator['image.caption'].official = True
test_evaluator['image.caption'].submission_file = 'nocaps_val.json'

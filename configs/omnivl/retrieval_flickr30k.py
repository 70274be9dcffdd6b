"""OmniVL finetuned for image-text retrieval on Flickr30k, tested on Karpathy's 1000 images with 5000 captions.

The paper's result, second-hand (InternVL's table): recall at 1 / 5 / 10 of texts 97.3 / 99.9 / 100.0, of images 87.9 /
97.8 / 99.1, with 14M images.
The paper's, BLIP's and our values are those of retrieval_coco.py, batch 512 = 16 GPUs x 32 too, but the first 128 are
re-ranked, as BLIP does here.
Start: the joint stage.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.flickr30k import *
    from .retrieval_coco import *

train_dataloader.image.dataset = dict(flickr30k_train, pipeline=image_pipeline)
evaluation = dict(evaluation, rerank_k=128)
val_dataloader = {'image.retrieval': dict(loader, dataset=dict(flickr30k_val, pipeline=image_test_pipeline))}
val_evaluator = {'image.retrieval': evaluation}
test_dataloader = {'image.retrieval': dict(loader, dataset=dict(flickr30k_test, pipeline=image_test_pipeline))}
test_evaluator = {'image.retrieval': evaluation}

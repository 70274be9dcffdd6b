"""From files to model inputs for captions of images at 384 pixels (OmniVL, 2209.07526, section 4).

BLIP's (configs/caption_coco.yaml of its code): the range of the crop, the mirror, two operations of magnitude 5, the
prompt, captions of at most 30 words and 40 word pieces.
"""

from omnivl.datasets.transforms import (
    CleanCaption,
    LoadImage,
    PackSample,
    RandAugment,
    RandomFlip,
    RandomResizedCrop,
    Resize,
    TokenizeText,
)
from omnivl.models.tokenizers import WordPieceTokenizer

tokenizer = dict(type=WordPieceTokenizer, vocab_file='data/bert-base-uncased/vocab.txt')
prompt = 'a picture of'
clean = dict(type=CleanCaption, max_words=30)

image_pipeline = [
    dict(type=LoadImage),
    dict(type=RandomResizedCrop, size=384, scale=(0.5, 1.0)),
    dict(type=RandomFlip, prob=0.5),
    dict(type=RandAugment, num_ops=2, magnitude=5),
    clean,
    dict(type=TokenizeText, tokenizer=tokenizer, max_length=40, prompt=prompt),
    dict(type=PackSample),
]
image_test_pipeline = [
    dict(type=LoadImage),
    dict(type=Resize, size=384),
    clean,
    dict(type=TokenizeText, tokenizer=tokenizer, max_length=40),
    dict(type=PackSample),
]

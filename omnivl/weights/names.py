"""Weights that have a name here, and what a person may write for a model: a name, an address on the hub, a path."""

import os
from pathlib import Path
from typing import NamedTuple

from .hub import HUB, fetch


class NamedWeights(NamedTuple):
    """Weights of others that a model is made of.

    Sizes and checksums are not written down here: the hub says them of every file, and each download is held to them.

    Attributes:
        address: Where they are, see ``omnivl/weights/hub.py``.
        about: What they do.
        licence: As their page states it.
    """

    address: str
    about: str
    licence: str


NAMED = {
    'blip-caption-base': NamedWeights(
        'hf://Salesforce/blip-image-captioning-base', 'captions, finetuned on COCO', 'bsd-3-clause'
    ),
    'blip-caption-large': NamedWeights(
        'hf://Salesforce/blip-image-captioning-large', 'captions, finetuned on COCO', 'bsd-3-clause'
    ),
    'blip-retrieval-base-coco': NamedWeights(
        'hf://Salesforce/blip-itm-base-coco', 'search and matching, finetuned on COCO', 'bsd-3-clause'
    ),
    'blip-retrieval-base-flickr30k': NamedWeights(
        'hf://Salesforce/blip-itm-base-flickr', 'search and matching, finetuned on Flickr30k', 'bsd-3-clause'
    ),
    'blip-vqa-base': NamedWeights('hf://Salesforce/blip-vqa-base', 'answers, finetuned on VQA v2', 'bsd-3-clause'),
}


def is_name(name: str | os.PathLike) -> bool:
    """Say whether a word is a name of weights or an address on the hub, and no path."""
    return str(name).startswith(HUB) or (str(name) in NAMED and not Path(name).exists())


def find_model(name: str | os.PathLike) -> Path:
    """Return where the weights of a name, or of an address on the hub, lie, downloaded if need be; paths stay."""
    if not is_name(name):
        return Path(name)
    return fetch(NAMED[str(name)].address if str(name) in NAMED else str(name))

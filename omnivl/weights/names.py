"""Weights that have a name here, and what a person may write for a model: a name, an address on the hub, a path."""

import os
from pathlib import Path

from .hub import HUB, fetch

# Sizes and checksums are not written down here: the hub says those of every file, and downloads are held to them.
NAMED = {
    'blip-caption-base': 'hf://Salesforce/blip-image-captioning-base',
    'blip-caption-large': 'hf://Salesforce/blip-image-captioning-large',
    'blip-retrieval-base-coco': 'hf://Salesforce/blip-itm-base-coco',
    'blip-retrieval-base-flickr30k': 'hf://Salesforce/blip-itm-base-flickr',
    'blip-vqa-base': 'hf://Salesforce/blip-vqa-base',
}


def is_name(name: str | os.PathLike) -> bool:
    """Say whether a word is a name of weights or an address on the hub, and no path."""
    return str(name).startswith(HUB) or (str(name) in NAMED and not Path(name).exists())


def find_model(name: str | os.PathLike) -> Path:
    """Return where the weights of a name, or of an address on the hub, lie, downloaded if need be; paths stay."""
    if not is_name(name):
        return Path(name)
    return fetch(NAMED.get(str(name), str(name)))

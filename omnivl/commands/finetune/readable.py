"""Looks whether pictures and clips can be read, before they are split, trained on and tested."""

from mmengine.registry import init_default_scope

from omnivl.datasets.errors import BrokenVisualError
from omnivl.registry import TRANSFORMS
from omnivl.storage.progress import track
from omnivl.structures import MODALITIES

from .items import Found, Item

MOST_LOOKED_AT = 500  # files; of more the training itself leaves out the broken ones, and counts them
SIDE = 64  # pixels; JPEGs are decoded faster at a part of their size


def readable(items: list[Item], found: Found) -> list[Item]:
    """Take the items whose files can be decoded; the others are counted in ``found``, with the reason."""
    paths = {item.record.visual: item.modality for item in items}
    if len(paths) > MOST_LOOKED_AT:
        found.notes.append(f'{len(paths)} files are not looked at one by one: `omnivl verify` of the config does that')
        return items
    init_default_scope('omnivl')
    loaders = {
        name: TRANSFORMS.build(dict(type=one.loader, short_side=SIDE, **(dict(num_frames=2) if one.has_time else {})))
        for name, one in MODALITIES.items()
        if name in paths.values()
    }
    broken = set()
    for path, modality in track(paths.items(), 'reading files'):
        try:
            loaders[modality](dict(visual=path))
        except BrokenVisualError as error:
            broken.add(path)
            found.leave_out('files that cannot be read', f'{path} ({error.reason})')
    return [item for item in items if item.record.visual not in broken]

"""How columns and splits are usually called, and the options that name them; light, since every --help reads it."""

import argparse

from ..options import SEEN

# What a column holds -> how it is usually called, the surest name first. Upper case and spaces make no difference.
COLUMNS = {
    'file': (
        *('file_name', 'filename', 'filepath', 'file_path', 'path', 'file', 'image_path', 'video_path', 'image_file'),
        *('video_file', *SEEN, 'picture', 'photo', 'img', 'clip', 'media', 'image_name', 'video_name'),
    ),
    'text': ('caption', 'captions', 'text', 'texts', 'description', 'sentence', 'sentences', 'title', 'prompt'),
    'label': ('label', 'class', 'category', 'class_name', 'label_name', 'target', 'tag'),
    'question': ('question',),
    'answer': ('answer', 'answers', 'multiple_choice_answer'),
    'group': ('group', 'group_id', 'scene', 'scene_id', 'subject'),
    'split': ('split', 'subset', 'partition'),
}
SPLITS = {
    **dict.fromkeys(('train', 'training', 'restval'), 'train'),
    **dict.fromkeys(('val', 'valid', 'validation', 'dev', 'eval'), 'val'),
    **dict.fromkeys(('test', 'testing', 'held_out', 'heldout', 'held-out'), 'test'),
}


def add_column_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for the name of each column."""
    for role, names in COLUMNS.items():
        parser.add_argument(
            f'--{role}-column', metavar='NAME', help=f'column of the {role} in a table; usual names: {names[0]}, ...'
        )


def chosen_columns(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the columns that were named: what they hold -> name."""
    given = {role: getattr(arguments, f'{role}_column') for role in COLUMNS}
    return {role: name for role, name in given.items() if name is not None}

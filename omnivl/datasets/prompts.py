"""Prompt templates that turn a class name into a sentence.

The image templates are those of CLIP's ImageNet evaluation (Radford et al. 2021), the video templates follow ActionCLIP
(Wang et al. 2021).
"""

from collections.abc import Sequence

from omnivl.errors import OmniVLValueError


def _split(templates: str) -> tuple[str, ...]:
    return tuple(template.strip() for template in templates.split('|'))


CLIP_IMAGE_TEMPLATES = _split("""
a bad photo of a {}. | a photo of many {}. | a sculpture of a {}. | a photo of the hard to see {}. |
a low resolution photo of the {}. | a rendering of a {}. | graffiti of a {}. | a bad photo of the {}. |
a cropped photo of the {}. | a tattoo of a {}. | the embroidered {}. | a photo of a hard to see {}. |
a bright photo of a {}. | a photo of a clean {}. | a photo of a dirty {}. | a dark photo of the {}. |
a drawing of a {}. | a photo of my {}. | the plastic {}. | a photo of the cool {}. | a close-up photo of a {}. |
a black and white photo of the {}. | a painting of the {}. | a painting of a {}. | a pixelated photo of the {}. |
a sculpture of the {}. | a bright photo of the {}. | a cropped photo of a {}. | a plastic {}. |
a photo of the dirty {}. | a jpeg corrupted photo of a {}. | a blurry photo of the {}. | a photo of the {}. |
a good photo of the {}. | a rendering of the {}. | a {} in a video game. | a photo of one {}. | a doodle of a {}. |
a close-up photo of the {}. | a photo of a {}. | the origami {}. | the {} in a video game. | a sketch of a {}. |
a doodle of the {}. | a origami {}. | a low resolution photo of a {}. | the toy {}. | a rendition of the {}. |
a photo of the clean {}. | a photo of a large {}. | a rendition of a {}. | a photo of a nice {}. |
a photo of a weird {}. | a blurry photo of a {}. | a cartoon {}. | art of a {}. | a sketch of the {}. |
a embroidered {}. | a pixelated photo of a {}. | itap of the {}. | a jpeg corrupted photo of the {}. |
a good photo of a {}. | a plushie {}. | a photo of the nice {}. | a photo of the small {}. |
a photo of the weird {}. | the cartoon {}. | art of the {}. | a drawing of the {}. | a photo of the large {}. |
a black and white photo of a {}. | the plushie {}. | a dark photo of a {}. | itap of a {}. | graffiti of the {}. |
a toy {}. | itap of my {}. | a photo of a cool {}. | a photo of a small {}. | a tattoo of the {}.
""")
ACTIONCLIP_TEMPLATES = _split("""
a photo of action {} | a picture of action {} | human action of {} | {}, an action | {}, this is an action |
{}, a video of action | playing action of {} | {} | playing a kind of action, {} | doing a kind of action, {} |
look, the human is {} | can you recognize the action of {}? | video classification of {} | a video of {} |
the man is {} | the woman is {}
""")

TEMPLATES = {'clip_image': CLIP_IMAGE_TEMPLATES, 'actionclip': ACTIONCLIP_TEMPLATES}


def get_templates(templates: str | Sequence[str]) -> tuple[str, ...]:
    """Look up ``'clip_image'`` or ``'actionclip'``, or check a list of one's own: sentences with one ``{}`` each."""
    if isinstance(templates, str):
        if templates not in TEMPLATES:
            raise OmniVLValueError(
                f"templates={templates!r}; allowed are {sorted(TEMPLATES)} or a list such as ['a photo of a {{}}']"
            )
        return TEMPLATES[templates]
    templates = tuple(templates)
    if not templates:
        raise OmniVLValueError(f'templates is an empty list; give at least one sentence or one of {sorted(TEMPLATES)}')
    for template in templates:
        if not isinstance(template, str) or template.count('{}') != 1:
            raise OmniVLValueError(f"template {template!r} must have '{{}}' exactly once, where the class name goes")
    return templates


def fill_prompt(template: str, class_name: str) -> str:
    """Put a class name into a template (other braces in either are left alone)."""
    return template.replace('{}', class_name)

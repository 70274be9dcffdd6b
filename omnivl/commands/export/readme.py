"""README.md of a folder of graphs: what goes in and comes out, what happens to pixels and texts, lines that work."""

from collections.abc import Container, Iterator, Sequence
from typing import Any

from omnivl.apis import OmniVLInferencer
from omnivl.datasets.transforms import CenterCrop, LoadImage, PackSample, Resize
from omnivl.models.interfaces import HasPrompt, serving
from omnivl.models.omnivl import prompt_ids
from omnivl.structures import IMAGE, MODALITIES
from omnivl.version import __version__
from omnivl.weights.base import pixel_statistics

from .formats import Format
from .graphs import Graph, Value
from .parity import TOLERANCE, Parity

TEXT, QUESTION = 'a photo', 'what is it'
LONGEST = 20  # word pieces that an example writes
# How each form is opened, in the example.
OPENING = {
    '.onnx': """import onnxruntime

@functools.cache
def session(name):
    return onnxruntime.InferenceSession(f'{name}.onnx')

def run(name, **inputs):
    return session(name).run(None, inputs)
""",
    '.pt2': """import torch

@functools.cache
def module(name):
    return torch.export.load(f'{name}.pt2').module()

def run(name, **inputs):
    return [value.numpy() for value in module(name)(**{key: torch.tensor(value) for key, value in inputs.items()})]
""",
}


def describe(inferencer: OmniVLInferencer, form: Format, graphs: Sequence[Graph], found: Sequence[Parity]) -> str:
    """Write the page."""
    sections = [
        f'# {type(inferencer.model).__name__} as {form.title}\n\nWritten by omnivl {__version__}; float32, on any device '
        f'that the runtime knows. `sha256sum -c SHA256SUMS` checks the files.'
        + (' Read only `.pt2` files that you trust: PyTorch unpickles parts of them.' if form.suffix == '.pt2' else ''),
        '## Graphs\n\n' + _graph_table(form, graphs),
        '## Pixels\n\n' + '\n'.join(_pixels(inferencer, graphs)),
    ]
    if inferencer.preparation.text_steps:
        sections.append('## Texts\n\n' + '\n'.join(_texts(inferencer)))
    example = '\n'.join(_example(inferencer, form, {graph.name for graph in graphs}))
    if example:
        sections.append(f'## Use\n\nIn this folder, with a picture of yours:\n\n```python\n{example}\n```')
    rows = [row for parity in found for row in parity.rows()]
    parity = _table(['graph', 'output', 'compared at', 'largest difference'], rows)
    sections.append(
        f'## Beside the model\n\nEach file was read again and compared with the model when it was written, at most '
        f'{TOLERANCE:.0e} allowed, on random inputs of sizes that it was not made with:\n\n{parity}'
    )
    return '\n\n'.join(sections) + '\n'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def _graph_table(form: Format, graphs: Sequence[Graph]) -> str:
    rows = []
    for graph in graphs:
        for role, values in (('in', graph.inputs), ('out', graph.outputs)):
            rows += [[f'`{graph.name}{form.suffix}`', role, *_row(value)] for value in values]
    axes = (
        'Named sizes are free from call to call; those of one name are equal within a call. Height and width are '
        'fixed. All visuals of a call have as many tokens: call once for pictures and once for clips.'
    )
    return f'{_table(["file", "", "name", "type", "shape", "meaning"], rows)}\n\n{axes}'


def _row(value: Value) -> list[str]:
    dtype = str(value.dtype).removeprefix('torch.')
    return [f'`{value.name}`', dtype, f'({", ".join(map(str, value.shape))})', value.meaning]


def _pixels(inferencer: OmniVLInferencer, graphs: Sequence[Graph]) -> Iterator[str]:
    """Say what happens to pixels, before the graph and in it."""
    names = {graph.name for graph in graphs}
    yield 'Before the graph, as the test pipelines of the model have it:\n'
    for modality, steps in sorted(inferencer.preparation.pipelines.items()):
        if modality in names:
            done = [repr(step) for step in steps if not getattr(step, 'text_only', False)]
            yield f'- {MODALITIES[modality].plural}: {", ".join(f"`{step}`" for step in done)}'
    yield '\n`Resize` is bicubic with antialiasing (`Image.BICUBIC` of Pillow is the same within one grey level).'
    if statistics := pixel_statistics(inferencer.model):
        yield f'Normalisation is inside: mean {statistics["mean"]}, std {statistics["std"]} of pixels in [0, 1].'
    else:
        yield 'Normalisation is inside.'


def _texts(inferencer: OmniVLInferencer) -> Iterator[str]:
    """Say what happens to texts, before the graph and in it."""
    tokenize = inferencer.preparation.tokenize
    words = tokenize.tokenizer
    ids = ', '.join(
        f'[{name}] {index}'
        for name, index in dict(
            PAD=words.pad_id, UNK=words.unk_id, CLS=words.cls_id, SEP=words.sep_id, DEC=words.decoder_id,
            ENC=words.encoder_id,
        ).items()
    )  # fmt: skip
    cleaning = [repr(step) for step in inferencer.preparation.text_steps if step is not tokenize]
    if cleaning:
        yield (
            f'Clean them ({", ".join(f"`{step}`" for step in cleaning)}): lower case, the marks `.!"()*#:;~` become '
            'spaces (of questions they vanish).'
        )
    yield (
        '`tokenizer.json` is for the library tokenizers; the files beside it are as transformers has them. Ids: '
        f'{ids}. A text is [CLS] pieces [SEP], cut to {tokenize.max_length} ids, as the model was tested, and filled up '
        'with [PAD] to the longest of the call, where the mask is false. The matcher and the answerer put [ENC] in the '
        'place of [CLS] themselves, if the model wants it. What is written begins with [DEC] and the prompt of the '
        'model, without [CLS], and ends with [SEP]; rows of one call have one length.'
    )


def _example(inferencer: OmniVLInferencer, form: Format, graphs: Container[str]) -> Iterator[str]:
    """Yield the lines of an example with an image, for all that the model offers."""
    if IMAGE.name not in graphs:
        return
    reads = any(name in graphs for name in ('text', 'matcher', 'answerer'))
    has_texts = reads or 'writer' in graphs
    picture = list(_picture_lines(inferencer.preparation.pipelines[IMAGE.name]))
    yield 'import functools\n\nimport numpy as np'
    yield f'from PIL import {"Image, ImageOps" if any("ImageOps" in line for line in picture) else "Image"}'
    if has_texts:
        yield 'from tokenizers import Tokenizer'
    yield OPENING[form.suffix]
    yield from picture
    if f'{IMAGE.name}_classifier' in graphs:
        line = '  # a line of classes.txt, from 0' if inferencer.loaded.classes else ''
        yield f"(logits,) = run('image_classifier', pixels=pixels)\nprint('class', logits[0].argmax()){line}"
    if not has_texts:
        return
    tokenizer = inferencer.preparation.tokenize.tokenizer
    yield f"{'embedding, ' if 'text' in graphs else ''}features, tokens = run('image', pixels=pixels)"
    yield "tokenizer = Tokenizer.from_file('tokenizer.json')"
    if reads:
        words = f"tokenizer.encode('{QUESTION if 'answerer' in graphs else TEXT}', add_special_tokens=False).ids"
        yield f'ids = np.array([[{tokenizer.cls_id}, *{words}, {tokenizer.sep_id}]])'
        yield 'text = dict(text_ids=ids, text_mask=np.ones_like(ids, dtype=bool))'
    if 'text' in graphs:
        yield "print('similarity', (embedding @ run('text', **text)[0].T).item())"
    if 'matcher' in graphs:
        yield "print('match', run('matcher', **text, tokens=tokens)[0].item())"
    if 'answerer' in graphs:
        yield from _writing_lines([tokenizer.decoder_id], tokenizer.sep_id, "'answerer', **text, tokens=tokens, answer_ids")
    if 'writer' in graphs:
        prompt = prompt_ids(tokenizer, serving(inferencer.model, HasPrompt, 'export').prompt)
        start = [tokenizer.decoder_id, *prompt]
        yield from _writing_lines(start, tokenizer.sep_id, "'writer', tokens=tokens, text_ids")


def _picture_lines(steps: Sequence[Any]) -> Iterator[str]:
    """Yield lines that do to a picture what the sizes of a pipeline do to it; of other transforms a comment."""
    yield "image = Image.open('photo.jpg').convert('RGB')"
    size = None
    for step in steps:
        if isinstance(step, Resize):
            size = width, height = step.size[::-1]
            way = f'ImageOps.fit(image, {size}, Image.BICUBIC)' if step.keep_ratio else f'image.resize({size}, Image.BICUBIC)'
            yield f'image = {way}'
        elif isinstance(step, CenterCrop) and size is not None:
            if size != (size := step.size[::-1]):
                left, top = (width - size[0]) // 2, (height - size[1]) // 2
                yield f'image = image.crop({(left, top, left + size[0], top + size[1])})'
        elif not isinstance(step, LoadImage | PackSample) and not getattr(step, 'text_only', False):
            yield f'# here: {step!r}'
    yield 'pixels = np.asarray(image).transpose(2, 0, 1)[None]'


def _writing_lines(start: list[int], end: int, call: str) -> Iterator[str]:
    """Yield lines that write greedily, which the last one prints."""
    yield f'written = {start}'
    yield f'while written[-1] != {end} and len(written) < {len(start) + LONGEST}:'
    yield f'    (logits,) = run({call}=np.array([written]))'
    yield '    written.append(int(logits[0].argmax()))'
    yield f"print('written', tokenizer.decode(written[{len(start)}:]))"

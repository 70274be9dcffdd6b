"""README.md of a folder of graphs: what goes in and comes out, what happens to pixels and texts, lines that work."""

from collections.abc import Container, Iterator, Sequence
from typing import Any

from omnivl.apis import OmniVLInferencer
from omnivl.apis.preparation import loaded_by
from omnivl.datasets.transforms import CenterCrop, PackSample, Resize
from omnivl.models.interfaces import Contrasts, HasPrompt, offered_by, serving
from omnivl.models.omnivl import prompt_ids
from omnivl.structures import IMAGE, MODALITIES
from omnivl.version import __version__
from omnivl.weights.base import pixel_statistics

from .formats import Format
from .graphs import Graph, Value, pictured
from .parity import PARITY_COLUMNS, TOLERANCE, Parity

TEXT, QUESTION = 'a photo', 'what is it'
LONGEST = 20  # word pieces that an example writes
# How each form is opened, in the example: what is imported, and a function.
OPENING = {
    '.onnx': (
        'import onnxruntime',
        """@functools.cache
def session(name):
    return onnxruntime.InferenceSession(f'{name}.onnx')

def run(name, **inputs):
    return session(name).run(None, inputs)
""",
    ),
    '.pt2': (
        'import torch',
        """@functools.cache
def module(name):
    return torch.export.load(f'{name}.pt2').module()

def run(name, **inputs):
    inputs = {key: torch.tensor(value) for key, value in inputs.items()}
    return [value.numpy(force=True) for value in module(name)(**inputs)]
""",
    ),
}


def describe(inferencer: OmniVLInferencer, form: Format, graphs: Sequence[Graph], found: Sequence[Parity]) -> str:
    """Write the page."""
    sections = [
        f'# {type(inferencer.model).__name__} as {form.title}',
        f'Written by omnivl {__version__}; float32. `sha256sum -c SHA256SUMS` checks the files.{form.warning}',
        '## Graphs',
        *_graphs(form, graphs),
        '## Pixels',
        *_pixels(inferencer),
    ]
    if inferencer.preparation.text_steps:
        sections += ['## Texts', *_texts(inferencer)]
    if example := '\n'.join(_example(inferencer, form, {graph.name for graph in graphs})):
        sections += ['## Use', 'In this folder, with a picture of yours:', f'```python\n{example}\n```']
    sections += [
        '## Beside the model',
        'When it was written, each file was read again and compared with the model on random inputs of sizes that it '
        f'was not made with; {TOLERANCE:.0e} is allowed.',
        _table(PARITY_COLUMNS, [row for parity in found for row in parity.rows()]),
    ]
    return '\n\n'.join(sections) + '\n'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def _graphs(form: Format, graphs: Sequence[Graph]) -> Iterator[str]:
    """Say what goes in and comes out."""
    rows = []
    for graph in graphs:
        for role, values in (('in', graph.inputs), ('out', graph.outputs)):
            rows += [[f'`{graph.name}{form.suffix}`', role, *_row(value)] for value in values]
    yield _table(['file', '', 'name', 'type', 'shape', 'meaning'], rows)
    yield (
        f'Named sizes are free from call to call, `frames` from {max(graph.fewest_frames for graph in graphs)} on; '
        'those of one name are equal within a call. Height '
        'and width are fixed. All visuals of a call have as many tokens: pictures go into one call, clips into another.'
    )


def _row(value: Value) -> list[str]:
    shape = ', '.join(map(str, value.shape))
    return [f'`{value.name}`', str(value.dtype).removeprefix('torch.'), f'({shape})', value.meaning]


def _pixels(inferencer: OmniVLInferencer) -> Iterator[str]:
    """Say what happens to pixels, before the graph and in it."""
    yield 'Before the graph, as the test pipelines of the model have it:'
    yield '\n'.join(
        f'- {MODALITIES[modality].plural}: {", ".join(_steps(inferencer.preparation.pipelines[modality]))}'
        for modality in pictured(inferencer)
    )
    yield '`Resize` is bicubic with antialiasing; `Image.BICUBIC` of Pillow is the same within one grey level.'
    values = ', '.join(f'{name} {numbers}' for name, numbers in pixel_statistics(inferencer.model).items())
    yield f'Normalisation is inside of the graph{f": {values} of pixels in [0, 1]" if values else ""}.'


def _steps(steps: Sequence[Any]) -> Iterator[str]:
    """Describe what a pipeline does to pixels."""
    for step in steps:
        loads = loaded_by(step)
        if loads is not None and loads.has_time:
            yield f'{step.num_frames} frames, the middle ones of as many equal parts of the file'
        elif loads is None and not isinstance(step, PackSample) and not getattr(step, 'text_only', False):
            yield f'`{step!r}`'


def _texts(inferencer: OmniVLInferencer) -> Iterator[str]:
    """Say what happens to texts, before the graph and in it."""
    tokenize = inferencer.preparation.tokenize
    words = tokenize.tokenizer
    ids = dict(PAD=words.pad_id, UNK=words.unk_id, CLS=words.cls_id, SEP=words.sep_id)
    ids |= dict(DEC=words.decoder_id, ENC=words.encoder_id)
    cleaning = [f'`{step!r}`' for step in inferencer.preparation.text_steps if step is not tokenize]
    if cleaning:
        yield f'Clean them ({", ".join(cleaning)}): lower case, of `.!"()*#:;~` spaces (of questions nothing is left).'
    yield (
        '`tokenizer.json` is for the library tokenizers; the files beside it are as transformers has them. Ids: '
        f'{", ".join(f"[{name}] {index}" for name, index in ids.items())}.'
    )
    yield (
        f'A text is [CLS] pieces [SEP], cut to {tokenize.max_length} ids, as the model was tested, and filled up with '
        '[PAD] to the longest of the call, where the mask is false. Matcher and answerer put [ENC] in the place of '
        '[CLS] themselves, if the model wants it. What is written begins with [DEC] and the prompt of the model, '
        'without [CLS], and ends with [SEP]; rows of one call have one length.'
    )
    if (contrasts := offered_by(inferencer.model, Contrasts)) is not None:
        yield f'Classes from texts: softmax of the similarities over {contrasts.temperature_value():.4g}.'


def _example(inferencer: OmniVLInferencer, form: Format, graphs: Container[str]) -> Iterator[str]:
    """Yield the lines of an example with an image, for all that the model offers."""
    if IMAGE.name not in graphs:
        return
    reads = any(name in graphs for name in ('text', 'matcher', 'answerer'))
    has_texts = reads or 'writer' in graphs
    picture = list(_picture_lines(inferencer.preparation.pipelines[IMAGE.name]))
    library, functions = OPENING[form.suffix]
    yield f'import functools\n\nimport numpy as np\n{library}'
    yield f'from PIL import {"Image, ImageOps" if any("ImageOps" in line for line in picture) else "Image"}'
    if has_texts:
        yield 'from tokenizers import Tokenizer'
    yield f'\n{functions}'
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
        start = [tokenizer.decoder_id]
        yield from _writing_lines(start, tokenizer.sep_id, "'answerer', **text, tokens=tokens, answer_ids")
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
            way = 'ImageOps.fit(image, ' if step.keep_ratio else 'image.resize('
            yield f'image = {way}{size}, Image.BICUBIC)'
        elif isinstance(step, CenterCrop) and size is not None:
            if size != (size := step.size[::-1]):
                left, top = (width - size[0]) // 2, (height - size[1]) // 2
                yield f'image = image.crop({(left, top, left + size[0], top + size[1])})'
        else:
            yield from (f'# here: {described}' for described in _steps([step]))
    yield 'pixels = np.asarray(image).transpose(2, 0, 1)[None]'


def _writing_lines(start: list[int], end: int, call: str) -> Iterator[str]:
    """Yield lines that write greedily, which the last one prints."""
    yield f'written = {start}'
    yield f'for _ in range({LONGEST}):'
    yield f'    (logits,) = run({call}=np.array([written]))'
    yield f'    if (token := int(logits[0].argmax())) == {end}:'
    yield '        break'
    yield '    written.append(token)'
    yield f"print('written', tokenizer.decode(written[{len(start)}:]))"

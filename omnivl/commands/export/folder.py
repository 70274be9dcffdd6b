"""A folder of graphs: all files of it are there and are the model, or there is no folder."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from omnivl.apis import OmniVLInferencer
from omnivl.errors import OmniVLRuntimeError, OmniVLValueError
from omnivl.models.interfaces import offered_by
from omnivl.storage.files import telling_no_room, write_text
from omnivl.storage.sums import write_sums
from omnivl.structures import MODALITIES

from .formats import FORMATS, Format, fewest, trace
from .graphs import OF_TEXTS, Graph, graphs_of, packed_example, pictured
from .parity import PARITY_COLUMNS, TOLERANCE, Parity, compare
from .readme import describe

LENGTH = 20  # of texts, where the model is not tested with any


def check_free(folder: Path) -> None:
    """Raise an ``OmniVLValueError`` if there is something in the place of a folder that is to be written."""
    if folder.is_file():
        raise OmniVLValueError(f'--out {folder} is a file: give a folder')
    if folder.is_dir() and any(folder.iterdir()):
        raise OmniVLValueError(f'--out {folder} is not empty: remove it, or name another folder')


@contextlib.contextmanager
def whole_or_nothing(folder: Path) -> Iterator[Path]:
    """Make a folder beside ``folder`` that takes its place when the block ends without an error."""
    folder = folder.absolute()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f'.{folder.name}.', suffix='.tmp', dir=folder.parent))
    except OSError as error:
        raise OmniVLValueError(f'--out {folder} cannot be made: {error.strerror}; name another folder') from error
    try:
        with telling_no_room(temporary):
            yield temporary
            temporary.chmod(0o755)  # mkdtemp makes folders that only their owner may read
            os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def export_graphs(inferencer: OmniVLInferencer, kind: str, folder: Path) -> list[Parity]:
    """Write every graph that a model offers, compare each with the model, and say how to use them.

    Args:
        inferencer: The model with its preprocessing, on the CPU.
        kind: One of ``FORMATS``.
        folder: Where to write; it must not be there, or be empty.

    Returns:
        What the comparisons found.

    Raises:
        OmniVLImportError: A library is missing.
        OmniVLValueError: There is something at ``folder``.
        OmniVLRuntimeError: A graph cannot be traced, or a file is not the model.
    """
    form = FORMATS[kind]
    form.check_installed()
    check_free(folder)
    inferencer.model.float()
    for line in left_out(inferencer):
        print(line)
    cases = sizes_of(inferencer)
    with whole_or_nothing(folder) as temporary:
        graphs, found = [], []
        for offered in graphs_of(inferencer):
            graph, parity = write_graph(offered, form, temporary, cases, vocabulary_of(inferencer))
            graphs.append(graph)
            found.append(parity)
            print(f'  {graph.name}{form.suffix}', flush=True)
        write_texts(inferencer, temporary)
        write_text(temporary / 'README.md', describe(inferencer, form, graphs, found))
        write_sums(temporary, {})
    return found


def left_out(inferencer: OmniVLInferencer) -> Iterator[str]:
    """Say what of a model does not become a graph; nothing to export at all is an ``OmniVLValueError``."""
    preparation, seen = inferencer.preparation, pictured(inferencer)
    if not seen:
        raise OmniVLValueError(
            f'the test pipelines are of {sorted(preparation.pipelines)}; graphs need one of images or videos'
        )
    for name in sorted(set(preparation.pipelines) - set(seen)):
        yield f'{MODALITIES[name].plural} are left out: graphs take pixels'
    reads = any(offered_by(inferencer.model, interface) is not None for interface in OF_TEXTS)
    if reads and not preparation.text_steps:
        yield 'texts are left out: no test pipeline has TokenizeText'


def sizes_of(inferencer: OmniVLInferencer) -> list[dict[str, int]]:
    """Choose the sizes of the free axes: those that graphs are traced with, then those that they are compared at."""
    preparation = inferencer.preparation
    frames = max([2, *(len(packed_example(inferencer, name)) for name in pictured(inferencer))])
    length = preparation.tokenize.max_length if preparation.text_steps else LENGTH
    return [
        dict(batch=3, length=min(7, length), frames=frames, visual_tokens=17, answer_length=4),
        dict(batch=1, length=1, frames=frames, visual_tokens=10, answer_length=1),
        dict(batch=2, length=length, frames=2, visual_tokens=33, answer_length=6),
        dict(batch=5, length=3, frames=frames + 3, visual_tokens=5, answer_length=2),
    ]


def vocabulary_of(inferencer: OmniVLInferencer) -> int:
    """Return the number of ids that texts may have; 1 for a model that reads none."""
    preparation = inferencer.preparation
    return preparation.tokenize.tokenizer.vocab_size if preparation.text_steps else 1


def write_graph(
    graph: Graph, form: Format, folder: Path, cases: list[dict[str, int]], vocabulary: int
) -> tuple[Graph, Parity]:
    """Trace a graph, write it, read it again and compare it; errors as ``export_graphs``.

    A model that takes clips of one length only gets a graph for that length, which is returned, and a line says so.
    """
    traced, *compared = cases
    draw = torch.Generator().manual_seed(len(cases))
    example = {value.name: value.random(traced, draw, vocabulary) for value in graph.inputs}
    try:
        program = trace(graph, example)
    except OmniVLRuntimeError:
        if 'frames' not in graph.axes():
            raise
        graph = graph.with_fixed('frames', traced['frames'])
        program = trace(graph, example)
        print(f'  {graph.name}: fixed to clips of {traced["frames"]} frames, as the model has no free number of them')
    graph = replace(graph, fewest_frames=fewest(program, graph, 'frames'))
    compared = [case | dict(frames=max(case['frames'], graph.fewest_frames)) for case in compared]
    path = folder / f'{graph.name}{form.suffix}'
    form.write(program, graph, example, path)
    return graph, compare(graph, form.read(path, graph), compared, vocabulary)


def write_texts(inferencer: OmniVLInferencer, folder: Path) -> None:
    """Write the names of classes, and the vocabulary as its tokenizer saves it and as ``tokenizers`` reads it."""
    if inferencer.preparation.text_steps:
        tokenizer = inferencer.preparation.tokenize.tokenizer
        tokenizer.save(folder)
        tokenizer.vocabulary.pipeline.save(str(folder / 'tokenizer.json'))
    if inferencer.loaded.classes:
        write_text(folder / 'classes.txt', ''.join(f'{name}\n' for name in inferencer.loaded.classes))


def show(found: list[Parity]) -> None:
    """Print the table of differences."""
    table = Table(*PARITY_COLUMNS, title=f'Beside the model, at most {TOLERANCE:.0e} allowed', title_justify='left')
    for parity in found:
        for row in parity.rows():
            table.add_row(*row)
    Console().print(table)

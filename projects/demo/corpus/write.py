"""Writes a demo corpus to disk: JPEG and MP4 files, annotations and, last, the manifest.

Every file has a generator of its own, so the bytes do not depend on the number of processes. They do depend on the
versions of numpy, Pillow and PyAV (and the libjpeg and x264 within).
"""

import math
import multiprocessing
import shutil
from collections.abc import Callable, Sequence
from fractions import Fraction
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from omnivl.errors import OmniVLRuntimeError

from .annotations import write_annotations
from .manifest import MANIFEST, CorpusParameters, Parameters, is_finished, write_manifest
from .plan import Item, count_items, is_silent, plan_corpus, purpose_rng
from .render import render_clip, render_picture
from .sound import RATE, render_sound
from .world import ClipScene, LongScene, Scene

if TYPE_CHECKING:
    from omnivl.storage.progress import ProgressBar

# Says that a folder is a corpus in the making, ours to overwrite.
UNFINISHED = '.unfinished'


class Recipe(NamedTuple):
    """How one kind of corpus is made. The functions are plain ones of a module: other processes get them, too.

    Attributes:
        parameters: Sizes and seed; all functions get them.
        plan: Lists every file.
        write_item: Writes one file; its folder is there.
        write_annotations: Writes what is said of the files.
    """

    parameters: Parameters
    plan: Callable[[Any], list[Item]]
    write_item: Callable[[Path, Item, Any], None]
    write_annotations: Callable[[Path, list[Item], Any], None]


def write_corpus(
    out: str | Path, parameters: CorpusParameters, processes: int = 1, lines_every: float = math.inf
) -> bool:
    """Make the demo corpus by :func:`follow`.

    Args:
        out: Folder of the corpus.
        parameters: Sizes and seed.
        processes: As in :func:`follow`.
        lines_every: As in :func:`follow`.

    Returns:
        True where it was written, False where it was there.
    """
    return follow(Recipe(parameters, plan_corpus, write_item, write_annotations), out, processes, lines_every)


def follow(recipe: Recipe, out: str | Path, processes: int = 1, lines_every: float = math.inf) -> bool:
    """Make a corpus, unless a finished one with the same parameters is there.

    What an interrupted run or other parameters left is removed first. The manifest comes last, so a folder with a
    manifest holds a whole corpus.

    Args:
        recipe: What to make.
        out: Folder of the corpus.
        processes: Processes that draw and encode.
        lines_every: Seconds between lines about the progress where there is no terminal; by default there are none.

    Returns:
        True where it was written, False where it was there.

    Raises:
        OmniVLRuntimeError: The folder holds files of the same names that this function did not write, or a process
            failed.
    """
    from omnivl.storage.progress import ProgressBar  # reads torch, which the processes that draw do without

    root, parameters = Path(out), recipe.parameters
    if is_finished(root, parameters):
        return False
    _clear(root, parameters.folders)
    items = recipe.plan(parameters)
    for folder in sorted({(root / item.path).parent for item in items}):
        folder.mkdir(parents=True, exist_ok=True)
    with ProgressBar('files', len(items), lines_every=lines_every) as bar:
        if processes > 1:
            _write_in_processes(root, recipe, processes, len(items), bar)
        else:
            for item in items:
                recipe.write_item(root, item, parameters)
                bar.step()
    recipe.write_annotations(root, items, parameters)
    write_manifest(root, parameters, count_items(items))
    (root / UNFINISHED).unlink()
    return True


def write_item(root: Path, item: Item, parameters: CorpusParameters) -> None:
    """Draw and encode one picture or clip.

    Args:
        root: Folder of the corpus; the folder of the item is there.
        item: What to write, and where.
        parameters: Sizes and seed.
    """
    rng, path = item.rng(parameters.seed), root / item.path
    clips = item.scene.clips if isinstance(item.scene, LongScene) else [item.scene]
    if not parameters.sound or not isinstance(clips[0], ClipScene):
        write_scene(path, item.scene, rng, parameters.size, parameters.num_frames, parameters.fps)
        return
    frames = [render_clip(clip, rng, parameters.size, parameters.num_frames) for clip in clips]
    # Draws of their own, so that the frames are those of a world without sound.
    heard = purpose_rng(parameters.seed, f'sound of {item.kind}', item.number)
    sounds = [render_sound(clip, heard, parameters.num_frames / parameters.fps) for clip in clips]
    silent = is_silent(item, parameters.seed)
    write_clip(path, np.concatenate(frames), parameters.fps, None if silent else np.concatenate(sounds))


def write_scene(path: Path, scene: Scene, rng: np.random.Generator, size: int, num_frames: int, fps: int) -> None:
    """Draw and encode a picture, or a clip of ``num_frames`` frames; ``size`` is height and width in pixels."""
    if isinstance(scene, ClipScene):
        write_clip(path, render_clip(scene, rng, size, num_frames), fps)
    else:
        # Colours at full resolution: at 64 pixels, halved ones bleed visibly.
        Image.fromarray(render_picture(scene, rng, size)).save(path, quality=92, subsampling=0)


def write_clip(path: Path, frames: np.ndarray, fps: int, sound: np.ndarray | None = None) -> None:
    """Encode a clip as H.264 and AAC in MP4, the same bytes for the same frames and sound.

    Args:
        path: The file to write.
        frames: RGB uint8 (T, H, W, 3), H and W even.
        fps: Frames per second.
        sound: What is heard, float32 (N,) in [-1, 1] at ``RATE`` samples per second; None = no audio stream.
    """
    import av

    # One thread and no version strings or dates: threads would change the bytes from run to run. No frame refers to a
    # later one, so decoders need not read ahead.
    # x264's macroblock tree works on four blocks of 16 pixels at a time; where a row is no multiple of that, what
    # happens to lie behind it in memory changes the bytes from run to run.
    options = {'crf': '18', 'preset': 'veryfast', 'bf': '0', 'threads': '1', 'flags': '+bitexact', 'mbtree': '0'}
    with av.open(str(path), 'w', options={'fflags': '+bitexact'}) as container:
        stream = container.add_stream('libx264', rate=fps, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = 'yuv420p'
        audio = None if sound is None else _add_sound(container)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format='rgb24')))
        container.mux(stream.encode())
        if audio is not None and sound is not None:
            _mux_sound(container, audio, sound)


def _add_sound(container: Any) -> Any:
    """Add a stream of AAC to a container of PyAV that nothing has been written to."""
    audio = container.add_stream('aac', rate=RATE, layout='mono', options={'flags': '+bitexact', 'threads': '1'})
    audio.bit_rate = 64_000
    return audio


def _mux_sound(container: Any, audio: Any, sound: np.ndarray) -> None:
    """Encode a sound, float32 (N,), frame after frame, the last one filled with zeros."""
    import av

    length = audio.codec_context.frame_size or 1024
    for start in range(0, len(sound), length):
        part = np.ascontiguousarray(np.pad(sound[start : start + length], (0, max(start + length - len(sound), 0))))
        frame = av.AudioFrame.from_ndarray(part[None], format='fltp', layout='mono')
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), start
        container.mux(audio.encode(frame))
    container.mux(audio.encode())


def _clear(root: Path, folders: Sequence[str]) -> None:
    """Make room for a new corpus, and mark the folder as one in the making."""
    occupied = [name for name in folders if (root / name).exists()]
    if occupied and not (root / MANIFEST).exists() and not (root / UNFINISHED).exists():
        raise OmniVLRuntimeError(
            f'{root} already holds {occupied}, and they are no demo corpus: choose another --out, or move them away'
        )
    root.mkdir(parents=True, exist_ok=True)
    (root / UNFINISHED).touch()
    (root / MANIFEST).unlink(missing_ok=True)
    for name in occupied:
        shutil.rmtree(root / name)


def _write_in_processes(root: Path, recipe: Recipe, processes: int, total: int, bar: 'ProgressBar') -> None:
    """Deal the items to processes like cards, and count those of all of them."""
    context = multiprocessing.get_context('spawn')
    done = context.Value('i', 0)
    workers = [
        context.Process(target=_write_share, args=(root, recipe, index, processes, done), daemon=True)
        for index in range(processes)
    ]
    for worker in workers:
        worker.start()
    counted = 0
    while counted < done.value or any(worker.is_alive() for worker in workers):
        workers[0].join(timeout=0.2)
        reached = done.value
        for _ in range(counted, reached):
            bar.step()
        counted = reached
        if any(worker.exitcode for worker in workers):
            for worker in workers:
                worker.terminate()
            raise OmniVLRuntimeError('a process that writes the corpus failed; its message is above')
    if done.value != total:
        raise OmniVLRuntimeError(f'only {done.value} of {total} files were written; run the command again')


def _write_share(root: Path, recipe: Recipe, index: int, processes: int, done: Synchronized) -> None:
    parent = multiprocessing.parent_process()
    for item in recipe.plan(recipe.parameters)[index::processes]:
        if parent is not None and not parent.is_alive():  # killed without a chance to stop us
            return
        recipe.write_item(root, item, recipe.parameters)
        with done.get_lock():
            done.value += 1

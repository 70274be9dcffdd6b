"""Where the weights of other libraries lie: a file, a folder of Hugging Face's, or the hub."""

import json
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from omnivl.errors import OmniVLFileNotFoundError, OmniVLValueError

HUB = 'hf://'
# What ``save_pretrained`` calls its weights, the safe form first.
FOLDER_FILES = ('model.safetensors', 'pytorch_model.bin')


def find_file(file: str) -> Path:
    """Find the file that holds the weights; the only place that may go to the network.

    Args:
        file: A local file, a folder that ``save_pretrained`` wrote, or ``hf://owner/name/file`` for a file of the
            Hugging Face hub, which is downloaded once, with the ``config.json`` beside it.

    Returns:
        Path of the local file; it need not exist if ``file`` is a path.

    Raises:
        OmniVLFileNotFoundError: The folder holds no weights that we read, or the hub does not give the file.
        OmniVLValueError: The address on the hub is incomplete.
    """
    if file.startswith(HUB):
        return _download(file)
    path = Path(file)
    if not path.is_dir():
        return path
    for name in FOLDER_FILES:
        if (path / name).is_file():
            return path / name
    names = sorted(entry.name for entry in path.iterdir())
    raise OmniVLFileNotFoundError(
        f'{path} has none of {FOLDER_FILES}, it holds {names[:20]}: name the file of the weights'
    )


def read_neighbour(path: Path, name: str) -> dict[str, Any] | None:
    """Read a JSON file that lies beside the weights, such as ``config.json``; None if there is none."""
    neighbour = path.parent / name
    if not neighbour.is_file():
        return None
    try:
        content = json.loads(neighbour.read_text(encoding='utf-8'))
    except ValueError as error:
        raise OmniVLValueError(f'{neighbour} is no JSON file ({error}): repair it or take it away') from error
    return content if isinstance(content, dict) else None


def _download(file: str) -> Path:
    from huggingface_hub import hf_hub_download

    owner, _, rest = file.removeprefix(HUB).partition('/')
    name, _, inside = rest.partition('/')
    if not (owner and name and inside):
        raise OmniVLValueError(f"{file} is no address of a file on the hub: 'hf://owner/name/file' is needed")
    try:
        path = Path(hf_hub_download(f'{owner}/{name}', inside))
    except Exception as error:  # the hub's client raises its own errors and those of whatever carries its requests
        raise OmniVLFileNotFoundError(
            f'{file} is not in the local cache, and the hub does not give it ({type(error).__name__}: '
            f'{str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"}). Without a network, '
            'download the file elsewhere and give its path'
        ) from error
    for neighbour in ('config.json', 'preprocessor_config.json'):
        try:
            hf_hub_download(f'{owner}/{name}', str(Path(inside).parent / neighbour))
        except Exception as error:  # as above; the weights are here, one check is less
            print_log(f'{owner}/{name} gives no {neighbour} ({type(error).__name__}): settings not compared', 'current')
    return path

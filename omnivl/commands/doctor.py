"""Say what is installed here, what works and what does not, and what to do about it.

Looked at are the libraries, the video decoders, picture formats, devices and their number formats, free disk, locks,
the extras that can be installed, and Java. Exit code: 0 all that is needed is there, 1 something of it is missing.

Examples:
    omnivl doctor
    omnivl doctor --data-root /data/corpora --json
"""

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

from omnivl.errors import OmniVLError
from omnivl.places import DATA, DATA_VARIABLE, data_root, home
from omnivl.version import __version__

OK, NOTE, MISSING = 'ok', 'note', 'missing'
# Distributions whose module has another name.
MODULES = {'mmcv-lite': 'mmcv', 'pillow': 'PIL', 'opencv-python': 'cv2', 'scikit-learn': 'sklearn'}
NAMES = {module: name for name, module in MODULES.items()}
# Imported, not only looked for: their compiled parts fail to load on some machines.
COMPILED = ('torch', 'torchvision', 'numpy', 'PIL', 'mmcv', 'mmengine')
# Needed, where the metadata of an installed package does not say it.
LIBRARIES = (
    *('torch', 'torchvision', 'mmengine', 'mmcv', 'transformers', 'tokenizers', 'safetensors', 'timm', 'numpy', 'PIL'),
    *('huggingface_hub', 'tensorboard', 'rich'),
)
# In the order in which decoder='auto' takes them.
DECODERS = {'pyav': 'av', 'torchcodec': 'torchcodec.decoders', 'decord': 'decord', 'opencv': 'cv2'}
FORMATS = {'jpg': 'JPEG', 'zlib': 'PNG', 'webp': 'WebP', 'avif': 'AVIF', 'libtiff': 'TIFF', 'jpg_2000': 'JPEG 2000'}
SHARED_GB = 1.0  # that loaders' workers hand batches over in; containers often have 0.06
DISK_GB = 10.0


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        part: Heading that it stands under.
        name: What was looked at.
        value: What was found.
        state: ``'ok'``, ``'note'`` or, if it is needed and not there, ``'missing'``.
    """

    part: str
    name: str
    value: str
    state: str = OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('--data-root', metavar='DIR', help=f'data root to look at; by default that of {DATA_VARIABLE}')
    parser.add_argument('--work-dir', metavar='DIR', default='work_dirs', help='work directory to look at')
    parser.add_argument('--json', action='store_true', help='print JSON')


def run(arguments: argparse.Namespace) -> int:
    """Look at everything and print it."""
    findings = list(examine(Path(arguments.work_dir)))
    missing = [finding.name for finding in findings if finding.state == MISSING]
    if arguments.json:
        print(json.dumps(dict(ok=not missing, findings=[asdict(finding) for finding in findings]), indent=1))
    else:
        print(report(findings))
        print(f'\nneeded and missing: {", ".join(missing)}' if missing else '\nall that is needed is there')
    return 1 if missing else 0


def report(findings: Iterable[Finding]) -> str:
    """Write the findings for people, under their headings; ``!`` marks what is missing, ``-`` what is to be noted."""
    lines: list[str] = []
    part = None
    for finding in findings:
        if finding.part != part:
            part = finding.part
            lines += ['', part] if lines else [part]
        mark = {OK: ' ', NOTE: '-', MISSING: '!'}[finding.state]
        lines.append(f' {mark} {finding.name:16} {finding.value}')
    return '\n'.join(lines)


def examine(work_dir: Path) -> Iterator[Finding]:
    """Yield all findings; nothing that is broken keeps the rest from being looked at."""
    yield Finding('omnivl', 'version', __version__)
    yield Finding('omnivl', 'imported from', str(Path(__file__).parents[1]))
    has_configs = (home() / 'configs').is_dir()
    where = str(home() / 'configs') if has_configs else f'{home()} has none: install omnivl again'
    yield Finding('omnivl', 'configs', where, OK if has_configs else MISSING)
    yield Finding('system', 'python', f'{platform.python_version()} ({sys.executable})')
    yield Finding('system', 'platform', platform.platform())
    yield from libraries()
    yield from decoders()
    yield from pictures()
    yield from devices()
    yield from disks(work_dir)
    yield locks(work_dir)
    yield from extras()
    yield java()


def load(name: str) -> ModuleType | str:
    """Import a module, or return in one line why that is not possible."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        return 'not installed' if error.name in (name, name.partition('.')[0]) else f'cannot be loaded: {error}'
    except Exception as error:
        return f'cannot be loaded: {" ".join(str(error).split())[:200] or type(error).__name__}'


def version_of(module: str) -> str:
    """Return the version of what a module belongs to, as it was installed, or '?'."""
    module = module.partition('.')[0]
    names = [NAMES.get(module, module), module, f'{NAMES.get(module, module)}-headless', 'opencv-contrib-python']
    for name in names[: None if module == 'cv2' else 2]:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return '?'


def requirements(extra: str = '') -> dict[str, str]:
    """Return what the installed package needs, or one of its extras: module -> condition on its version."""
    from packaging.requirements import Requirement

    found = {}
    for line in importlib.metadata.requires('omnivl') or ():
        one = Requirement(line)
        applies = one.marker is None or one.marker.evaluate({'extra': extra})
        if applies and (not extra or not (one.marker is None or one.marker.evaluate({'extra': ''}))):
            found[MODULES.get(one.name, one.name)] = str(one.specifier)
    return found


def libraries() -> Iterator[Finding]:
    """Look for the libraries that are needed, in the versions that are needed."""
    try:
        needed = requirements()
    except Exception:  # a checkout on the path, or no packaging
        needed = dict.fromkeys(LIBRARIES, '')
    for module, condition in needed.items():
        if module in DECODERS.values():
            continue
        if module in COMPILED:
            loaded = load(module)
            problem = loaded if isinstance(loaded, str) else None
        else:
            problem = None if importlib.util.find_spec(module) is not None else 'not installed'
        version = version_of(module)
        if problem is None and condition and not _fits(version, condition):
            problem = f'{version}, but {condition} is needed'
        install = f"; pip install '{NAMES.get(module, module)}{condition}'"
        yield Finding(
            'libraries', module, version if problem is None else problem + install, MISSING if problem else OK
        )


def _fits(version: str, condition: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return version == '?' or SpecifierSet(condition).contains(version, prereleases=True)


def decoders() -> Iterator[Finding]:
    """Load the video decoders, of which one is needed; that of PyAV also looks at every file first."""
    loaded = {name: load(module) for name, module in DECODERS.items()}
    for name, module in loaded.items():
        problem = module if isinstance(module, str) else None
        needed = name == 'pyav'
        hint = '; pip install av' if needed else ''
        value = f'{version_of(DECODERS[name])} loads' if problem is None else problem + hint
        yield Finding('video decoders', name, value, OK if problem is None else MISSING if needed else NOTE)


def pictures() -> Iterator[Finding]:
    """Tell which formats of pictures can be read."""
    features = load('PIL.features')
    if isinstance(features, str):
        return
    can = [name for feature, name in FORMATS.items() if feature in features.get_supported()]
    lacks = [name for name in FORMATS.values() if name not in can]
    needed = 'JPEG' not in can or 'PNG' not in can
    yield Finding('pictures', 'can be read', ', '.join(can), MISSING if needed else OK)
    if lacks:
        yield Finding('pictures', 'cannot be read', ', '.join(lacks), NOTE)


def devices() -> Iterator[Finding]:
    """Look at processors and GPUs, and what precision they train in."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    torch = load('torch')
    if isinstance(torch, str):
        yield Finding('devices', 'CPU', f'{cores} cores')
        return
    threads = os.environ.get('OMP_NUM_THREADS')
    of_variable = f', OMP_NUM_THREADS={threads}' if threads else ''
    yield Finding('devices', 'CPU', f'{cores} cores, {torch.get_num_threads()} threads of torch{of_variable}; bf16')
    if not torch.cuda.is_available():
        built = f'torch is built for CUDA {torch.version.cuda}' if torch.version.cuda else 'torch is built without CUDA'
        yield Finding('devices', 'GPU', f'none ({built})', NOTE)
        return
    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        formats = 'bf16, fp16' if about.major >= 8 else 'fp16, no fast bf16'
        yield Finding('devices', f'cuda:{number}', f'{about.name}, {about.total_memory / 2**30:.0f} GiB; {formats}')


def disks(work_dir: Path) -> Iterator[Finding]:
    """Tell the free space where data, results, temporary files and batches of the workers are."""
    try:
        data: Path | None = data_root() or Path(DATA)
    except OmniVLError as error:
        data = None
        yield Finding('disk', 'data root', str(error), MISSING)
    places = {'data root': data, 'work directory': work_dir, 'temporary': Path(tempfile.gettempdir())}
    for name, path in (places | {'shared memory': Path('/dev/shm')}).items():
        if path is None or (name == 'shared memory' and not path.is_dir()):
            continue
        folder = _existing(path)
        free = shutil.disk_usage(folder).free / 1e9
        there = '' if folder == path else f' (not there yet; free in {folder})'
        least = SHARED_GB if name == 'shared memory' else DISK_GB
        few = ', that is little' if free < least else ''
        yield Finding('disk', name, f'{free:.1f} GB free{few}: {path}{there}', NOTE if few else OK)


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())


def locks(work_dir: Path) -> Finding:
    """Try whether files can be locked where the work directory is, which keeps two runs from one folder."""
    folder = _existing(work_dir)
    try:
        import fcntl

        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        return Finding('disk', 'locks', 'this system has none: a file takes their place', NOTE)
    except OSError as error:
        return Finding('disk', 'locks', f'do not work in {folder} ({error.strerror}): a file takes their place', NOTE)
    return Finding('disk', 'locks', f'work in {folder}')


def extras() -> Iterator[Finding]:
    """Tell which of the package's extras are installed, and how to install the others."""
    try:
        names = importlib.metadata.metadata('omnivl').get_all('Provides-Extra') or []
        needed = {name: requirements(name) for name in names}
    except Exception:
        yield Finding('extras', 'unknown', 'omnivl is not installed by pip, so it does not say which there are', NOTE)
        return
    for name, modules in needed.items():
        absent = [NAMES.get(module, module) for module in modules if not _is_installed(module)]
        advice = f"{', '.join(absent)} not installed: pip install 'omnivl[{name}]'"
        yield Finding('extras', name, advice if absent else 'installed', NOTE if absent else OK)


def _is_installed(module: str) -> bool:
    names = {module, NAMES.get(module, module)}
    return any(importlib.util.find_spec(name.replace('-', '_')) or version_of(name) != '?' for name in names)


def java() -> Finding:
    """Look for Java, which two of the official caption metrics run."""
    path = shutil.which('java')
    if path is None:
        return Finding(
            'extras', 'Java', 'not found: the official METEOR and SPICE are skipped (apt install default-jre)', NOTE
        )
    try:
        said = subprocess.run([path, '-version'], capture_output=True, text=True, timeout=20).stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding('extras', 'Java', f'{path} does not run: {error}', NOTE)
    return Finding('extras', 'Java', f'{said.partition(chr(10))[0]} ({path})')

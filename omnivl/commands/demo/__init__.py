"""Show a model on a web page: captions, answers, matches, classes, where it looks, and search.

MODEL is what omnivl caption takes: a checkpoint, a work directory, a folder that omnivl export wrote, or a config with
a CHECKPOINT after it. The page has a tab for each thing that the model can do; the same is there as JSON under
/gradio_api/call/caption and so on, and /health says that it is alive. Pictures and clips are uploaded into a folder for
temporary files, which goes when the page ends. Nothing is fetched from other machines.

Examples:
    omnivl demo work_dirs/finetune/photos-caption
    omnivl demo exported --index clips/
    omnivl demo exported --host 0.0.0.0 --port 8080 --auth anna:password.txt --max-mb 20
"""

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

from omnivl.errors import OmniVLFileNotFoundError, OmniVLImportError

from ..main import UsageError
from ..options import add_config_options

AUTH_VARIABLE = 'OMNIVL_DEMO_AUTH'
EXAMPLES = 'examples'  # folder beside a model, which omnivl finetune writes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('model', metavar='MODEL', help='a checkpoint, work directory, exported folder, or a config')
    parser.add_argument('checkpoint', metavar='CHECKPOINT', nargs='?', help='of a config: its weights')
    parser.add_argument('--index', metavar='FOLDER', help='what to search in: of omnivl index, or pictures and clips')
    parser.add_argument(
        '--examples',
        metavar='FOLDER',
        help=f'pictures and clips to try (default: {EXAMPLES} in the folder of the model)',
    )
    parser.add_argument('--host', default='127.0.0.1', help='address to listen at (default: %(default)s, this machine)')
    parser.add_argument('--port', type=int, default=7860, help='port; 0 takes a free one (default: %(default)s)')
    parser.add_argument(
        '--auth',
        metavar='USER:FILE',
        help=f'ask for this user and the password in the first line of FILE (or {AUTH_VARIABLE}=USER:PASSWORD)',
    )
    parser.add_argument('--max-mb', type=float, default=64, help='largest upload, in MB (default: %(default)s)')
    parser.add_argument('--max-megapixels', type=float, default=64, help='largest picture or frame (default: 64)')
    parser.add_argument('--max-seconds', type=float, default=60, help='longest clip (default: %(default)s)')
    parser.add_argument('--max-waiting', type=int, default=32, help='calls that may wait (default: %(default)s)')
    parser.add_argument('--device', help='cpu, cuda:0 ...; by default the GPU if there is one')
    add_config_options(parser)
    parser.set_defaults(batch_size=16)


def run(arguments: argparse.Namespace) -> None:
    """Load the model, and show the page until a signal comes."""
    for name in ('max_mb', 'max_megapixels', 'max_seconds', 'max_waiting'):
        if getattr(arguments, name) <= 0:
            raise UsageError(f'--{name.replace("_", "-")} must be above 0, got {getattr(arguments, name)}')
    if not 0 <= arguments.port < 1 << 16:
        raise UsageError(f'--port must be in 0 ... 65535, got {arguments.port}')
    auth = read_auth(arguments.auth)
    uploads = Path(tempfile.mkdtemp(prefix='omnivl-demo-')).resolve()
    # Gradio reads these when it is imported: its files go where we delete them, and it reports to nobody.
    os.environ.update(GRADIO_TEMP_DIR=str(uploads), GRADIO_ANALYTICS_ENABLED='False', HF_HUB_DISABLE_TELEMETRY='1')
    try:
        try:
            from .server import ended_by_signals
        except ImportError as error:
            raise OmniVLImportError(f"the page needs gradio ({error}): pip install 'omnivl[web]'") from error
        with ended_by_signals():
            show_page(arguments, uploads, auth)
    finally:
        shutil.rmtree(uploads, ignore_errors=True)


def show_page(arguments: argparse.Namespace, uploads: Path, auth: tuple[str, str] | None) -> None:
    """Load what the options name, and serve it.

    Args:
        arguments: The options.
        uploads: An empty folder for what visitors hand in.
        auth: User and password, or None.
    """
    from omnivl.engine.command_line import check_model
    from omnivl.engine.identity import knows_itself
    from omnivl.engine.threads import choose_threads
    from omnivl.places import find_config

    from ..infer.inference import load_inferencer
    from .content import open_gallery, take_examples
    from .gate import LOOPBACK
    from .page import make_page
    from .server import listen, make_app, make_gate, serve
    from .serving import Serving
    from .uploads import UploadLimits

    start = time.monotonic()
    listening = listen(arguments.host, arguments.port)
    check_model(arguments.model)
    if not knows_itself(arguments.model):
        arguments.model = str(find_config(arguments.model))
    inferencer = load_inferencer(arguments)
    if (threads := choose_threads(inferencer.model)) is not None:
        print(threads)
    limits = UploadLimits(arguments.max_mb, arguments.max_megapixels, arguments.max_seconds)
    gallery = None if arguments.index is None else open_gallery(inferencer, Path(arguments.index))
    weights = arguments.checkpoint or arguments.model
    serving = Serving(inferencer, *names_of(weights), limits, gallery)
    folder = examples_folder(arguments.examples, weights)
    examples = [] if folder is None else take_examples(folder, uploads, limits)
    app = make_app(serving, make_page(serving, examples, arguments.max_waiting))
    for title, reason in serving.refused.items():
        print(f'no {title}: {reason}')
    if arguments.host not in LOOPBACK and auth is None:
        print(f'warning: whoever reaches port {arguments.port} can use this page: --auth USER:FILE asks for a password')
    print(f'ready after {time.monotonic() - start:.1f} s; Ctrl-C ends it')
    serve(make_gate(app, serving, uploads, arguments.host, auth), listening)


def read_auth(option: str | None) -> tuple[str, str] | None:
    """Read user and password, from the option or else the variable; None = nobody is asked."""
    if option is None:
        user, _, password = os.environ.get(AUTH_VARIABLE, '').partition(':')
        where = AUTH_VARIABLE
        if not user and not password:
            return None
    else:
        user, _, name = option.partition(':')
        where = f'--auth {option}'
        if not user or not name:
            raise UsageError(f'--auth is USER:FILE, got {option!r}')
        if not Path(name).is_file():
            raise OmniVLFileNotFoundError(f'--auth {option}: there is no file {name} with a password in it')
        password = (Path(name).read_text(encoding='utf-8').splitlines() or [''])[0].strip()
    if not user or not password:
        raise UsageError(f'{where}: user and password must not be empty')
    return user, password


def names_of(model: str) -> tuple[str, str]:
    """Return what a model, and the file of its weights, are called on the page: without the folders they are in."""
    from omnivl.storage.checkpoint import find_checkpoints

    if '://' in model:
        return model, model
    path = Path(model).absolute()
    checkpoints = find_checkpoints(path) if path.is_dir() else [path]
    name = path.name if path.is_dir() else path.parent.name
    return name, checkpoints[0].name if checkpoints else 'exported'


def examples_folder(option: str | None, model: str) -> Path | None:
    """Find the folder with examples: that of the option, or the one beside the model, None if there is none."""
    if option is not None:
        if not Path(option).is_dir():
            raise OmniVLFileNotFoundError(f'--examples: there is no folder {option}')
        return Path(option)
    path = Path(model)
    folder = (path if path.is_dir() else path.parent) / EXAMPLES
    return folder if folder.is_dir() and any(folder.iterdir()) else None

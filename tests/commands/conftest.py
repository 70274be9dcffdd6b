"""A tiny model behind a page, made once for all tests of the page."""

import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / 'datasets' / 'transforms'))  # transform_toys


class Shown(NamedTuple):
    """What stands behind the page of the tests."""

    address: str
    serving: object
    files: dict
    photos: Path
    uploads: Path


@pytest.fixture(scope='session')
def files(tmp_path_factory):
    from demo_world import write_files

    return write_files(tmp_path_factory.mktemp('files'))


@pytest.fixture(scope='session')
def photos(tmp_path_factory, files):
    from demo_world import COLOURS, draw

    root = tmp_path_factory.mktemp('shown') / 'photos'
    for number, colour in enumerate(COLOURS):
        draw(root / f'{number}.jpg', colour)
    (root / 'clip.avi').write_bytes(files['avi'].read_bytes())
    return root


@pytest.fixture(scope='session')
def serving(tmp_path_factory, photos):
    """Everything that a page can do, by a tiny model; small limits."""
    from demo_world import load_able

    from omnivl.commands.demo.serving import Serving
    from omnivl.commands.demo.uploads import UploadLimits

    inferencer = load_able(tmp_path_factory.mktemp('model'))
    limits = UploadLimits(megabytes=0.5, megapixels=4, seconds=20)
    return Serving(inferencer, 'tiny & random', 'model.pth', limits, inferencer.build_gallery(photos))


@pytest.fixture(scope='session')
def shown(serving, files, photos):
    """The page."""
    pytest.importorskip('gradio', reason="the page needs gradio: pip install 'omnivl[web]'")
    from demo_world import running, upload_folder

    from omnivl.commands.demo.content import take_examples

    with upload_folder() as uploads:
        examples = take_examples(photos, uploads, serving.limits)
        with running(serving, uploads, examples) as address:
            yield Shown(address, serving, files, photos, uploads)


@pytest.fixture(scope='session')
def browser():
    """Debian's Chromium, without a window."""
    playwright = pytest.importorskip('playwright.sync_api', reason="needs Playwright: pip install 'omnivl[test]'")
    names = ('chromium', 'chromium-browser', 'google-chrome')
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip('there is no chromium (apt install chromium)')
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=program, args=['--no-sandbox'])
        yield opened
        opened.close()


@pytest.fixture(scope='session')
def screenshots(tmp_path_factory):
    """Where the pictures of pages go: ``OMNIVL_SCREENSHOTS``, or the folder of the tests."""
    kept = os.environ.get('OMNIVL_SCREENSHOTS')
    folder = Path(kept) if kept else tmp_path_factory.mktemp('screenshots')
    folder.mkdir(parents=True, exist_ok=True)
    print(f'screenshots: {folder.resolve()}')
    return folder

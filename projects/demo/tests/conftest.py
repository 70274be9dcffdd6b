import numpy as np
import pytest
from fake_run import make_fake_run
from PIL import Image


@pytest.fixture
def visuals(tmp_path):
    """Four coloured pictures, and four clips of one colour each."""
    av = pytest.importorskip('av')
    colours = {'red': (200, 0, 0), 'green': (0, 160, 0), 'blue': (0, 0, 200), 'grey': (128, 128, 128)}
    found = {'image': [], 'video': []}
    for name, colour in colours.items():
        frame = np.full((48, 64, 3), colour, np.uint8)
        Image.fromarray(frame).save(tmp_path / f'{name}.jpg')
        found['image'].append((str(tmp_path / f'{name}.jpg'), f'a {name} square above a small cross'))
        with av.open(str(tmp_path / f'{name}.mp4'), 'w') as container:
            stream = container.add_stream('mpeg4', rate=8)
            stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
            for level in range(9):
                packets = stream.encode(av.VideoFrame.from_ndarray(frame // 9 * level, format='rgb24'))
                container.mux(packets)
            container.mux(stream.encode())
        found['video'].append((str(tmp_path / f'{name}.mp4'), f'a {name} square moving left near a cross'))
    return found


@pytest.fixture
def fake_work_dir(tmp_path, visuals):
    """The work directory of a made-up demo run on four pictures and four clips."""
    classes = {'image': ['circle', 'cross'], 'video': ['growing', 'moving left']}
    return make_fake_run(tmp_path / 'work', visuals, classes)


@pytest.fixture(scope='session')
def corpus(tmp_path_factory):
    pytest.importorskip('av', reason='PyAV writes the clips of the demo corpus')
    from projects.demo.corpus.manifest import SMOKE_PARAMETERS
    from projects.demo.corpus.write import write_corpus

    root = tmp_path_factory.mktemp('corpus')
    assert write_corpus(root, SMOKE_PARAMETERS)
    return root


@pytest.fixture(scope='session')
def tasks(tmp_path_factory):
    pytest.importorskip('av', reason='PyAV writes the clips of the demo corpus')
    from projects.demo.corpus.tasks.parameters import SMOKE_TASKS
    from projects.demo.corpus.tasks.write import write_tasks

    root = tmp_path_factory.mktemp('tasks')
    assert write_tasks(root, SMOKE_TASKS)
    return root

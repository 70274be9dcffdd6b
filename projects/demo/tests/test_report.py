"""The report as a whole, from the files of a made-up run."""

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from projects.demo import make_report

VOID = {'meta', 'img', 'br', 'path', 'use', 'line', 'rect'}


def run_tool(*arguments: object) -> None:
    make_report.main([str(argument) for argument in arguments])


class Balance(HTMLParser):
    """Checks that what is opened is closed."""

    def __init__(self):
        super().__init__()
        self.open = []
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ('src', 'href', 'xlink:href', 'srcset', 'data')]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture
def page(fake_work_dir, tmp_path):
    run_tool('--work-dir', fake_work_dir, '--data', tmp_path, '--note', 'numbers <made up>')
    return (fake_work_dir / 'report.html').read_text(encoding='utf-8')


def test_page_is_whole_and_asks_nothing_of_the_network(page):
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    outside = [address for address in parser.addresses if not address.startswith(('#', 'data:'))]
    assert outside == ['https://arxiv.org/abs/2209.07526']  # a link to click, not something to load
    assert '@import' not in page and 'url(' not in re.sub(r'url\(#\w+\)', '', page)


def test_page_shows_every_part(page):
    for name in ('figures', 'trained', 'curves', 'retrieval', 'captions', 'classes', 'unseen', 'all', 'next'):
        assert f'<section id="{name}">' in page and f'href="#{name}"' in page
    assert page.count('<svg') == 6
    assert 'numbers &lt;made up&gt;' in page
    assert '82.0%' in page and 'chance 25.0%' in page  # four pictures: one in four by chance
    assert 'target 97% reached' in page and 'target 92% not reached' in page


def test_curves_take_their_colours_from_the_page(page):
    figures = ''.join(re.findall(r'<svg.*?</svg>', page, flags=re.DOTALL))
    assert 'var(--image)' in figures and 'var(--video)' in figures
    assert not re.findall(r'(?:stroke|fill): #', figures)


def test_final_metrics_join_figures_chance_and_cost(fake_work_dir, page):
    metrics = json.loads((fake_work_dir / 'metrics.json').read_text())
    assert metrics['image']['retrieval']['t2i_r1'] == 82.0
    assert metrics['image']['retrieval']['t2i_r1_unseen'] == 62.0 and 'retrieval_unseen' not in metrics['image']
    assert metrics['chance']['image']['retrieval']['t2i_r1'] == 25.0
    assert metrics['seconds']['stage1'] == 171.3
    assert metrics['seconds']['evaluations'] == {'image.retrieval': 1.5}
    assert metrics['steps'] == {'stage1': 900, 'stage2': 1200}
    assert metrics['versions']['torch']
    # Shared embeddings once; the momentum encoder and the queues apart.
    parts = metrics['parameters']
    assert parts['text_encoder'] == 600 * 96 and parts['generation_decoder'] == 700 * 96
    assert parts['total'] == sum(parts[name] for name in parts if name not in ('total', 'training_only'))
    assert parts['training_only'] == 4000 * 96 + 1024 * 64


def test_page_does_without_what_is_not_there(fake_work_dir, tmp_path):
    for file in (fake_work_dir / 'test/predictions').iterdir():
        file.unlink()
    for stage in ('stage1', 'stage2'):
        (fake_work_dir / stage / 'last_checkpoint').unlink()
        (fake_work_dir / stage / '20260101_000000/vis_data/scalars.json').unlink()
    (fake_work_dir / 'seconds.json').unlink()
    run_tool('--work-dir', fake_work_dir, '--data', tmp_path)
    page = (fake_work_dir / 'report.html').read_text(encoding='utf-8')
    assert '<section id="figures">' in page and '<section id="retrieval">' not in page and '<svg' not in page


def test_a_lost_picture_leaves_a_note_in_its_place(fake_work_dir, tmp_path, visuals):
    Path(visuals['image'][0][0]).unlink()
    Path(visuals['video'][0][0]).write_bytes(b'not a video')
    run_tool('--work-dir', fake_work_dir, '--data', tmp_path)
    page = (fake_work_dir / 'report.html').read_text(encoding='utf-8')
    assert 'red.jpg is neither there nor under' in page
    assert 'red.mp4: it has no video stream' in page


def test_missing_evaluation_is_said(tmp_path):
    with pytest.raises(SystemExit, match=r'metrics\.json is missing: the report needs the evaluation'):
        run_tool('--work-dir', tmp_path, '--data', tmp_path)


def test_missing_matplotlib_is_said(fake_work_dir, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'matplotlib', None)
    with pytest.raises(SystemExit, match=r"pip install -e '\.\[demo\]'"):
        run_tool('--work-dir', fake_work_dir, '--data', tmp_path)


def test_numbers_beside_the_curves_are_not_cut(page):
    figures = re.findall(r'<svg.*?</svg>', page, flags=re.DOTALL)
    for svg in figures:
        # Right-aligned at x, each figure is at most as wide as its 10 px digits in a wide font.
        labels = re.findall(r'text-anchor: end[^"]*"[^>]*? x="([\d.]+)"[^>]*>([^<]+)<', svg)
        assert labels and all(float(x) - 6.4 * len(text) >= 0 for x, text in labels)
    assert '.chart svg { width: 100%; height: auto; display: block; overflow: visible; }' in page


def test_clips_that_a_browser_plays_are_in_the_page(fake_work_dir, tmp_path, visuals):
    for file, _ in visuals['video'][:2]:
        write_h264(file)
    run_tool('--work-dir', fake_work_dir, '--data', tmp_path)
    page = (fake_work_dir / 'report.html').read_text(encoding='utf-8')
    videos = re.findall(r'<video [^>]*>', page)
    assert videos and all('src="data:video/mp4;base64,' in video and 'poster="data:image' in video for video in videos)
    assert all(word in videos[0] for word in ('autoplay', 'muted', 'loop', 'preload="metadata"', 'this.pause()'))
    assert 'class="strip"' in page  # the others are of a kind that browsers do not play


def write_h264(file):
    av = pytest.importorskip('av')
    with av.open(file, 'w') as container:
        stream = container.add_stream('libx264', rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        for level in range(9):
            frame = np.full((48, 64, 3), 20 * level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        container.mux(stream.encode())


def test_the_page_says_how_to_use_the_model(fake_work_dir, tmp_path, page):
    command = f'python tools/infer.py projects/demo/configs/pretrain_joint.py {fake_work_dir}/stage2 --task caption'
    assert command in page and f'{tmp_path}/images/test' in page

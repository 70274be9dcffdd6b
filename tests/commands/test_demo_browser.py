"""The page in a real browser: upload, caption, answer, search, broken files, two users; and what it looks like.

``OMNIVL_SCREENSHOTS=work_dirs/screenshots`` keeps the pictures there; by default they are in the folder of the tests.
"""

import re

import pytest

FILE = '#upload input[type=file]'
PHONE = dict(viewport=dict(width=390, height=844), is_mobile=True, has_touch=True, device_scale_factor=2)


@pytest.fixture
def open_page(browser, shown):
    """A function that opens the page as a new user; all requests go to the page, and no script fails."""
    contexts, elsewhere, errors = [], [], []

    def opened(**options):
        context = browser.new_context(**(dict(viewport=dict(width=1280, height=900)) | options))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on('request', lambda request: elsewhere.append(request.url))
        page.on('pageerror', lambda error: errors.append(str(error)))
        page.goto(shown.address)
        page.get_by_role('button', name='Write a caption').wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [url for url in elsewhere if not url.startswith((shown.address, 'data:', 'blob:'))] == []
    assert errors == []


def hand_in(page, path, shows='img, #preview video'):
    page.set_input_files(FILE, path)
    page.locator(f'#preview {shows}').first.wait_for()


def do(page, tab, text, button):
    page.get_by_role('tab', name=tab, exact=True).click()
    if text is not None:
        page.locator('textarea:visible').first.fill(text)
    page.get_by_role('button', name=button, exact=True).click()


def is_as_wide_as_the_window(page):
    return page.evaluate('document.documentElement.scrollWidth <= window.innerWidth')


def test_a_picture_through_all_tabs(open_page, shown, files, screenshots):
    page = open_page()
    assert page.title() == 'tiny & random · omnivl'
    page.screenshot(path=screenshots / 'desktop-empty.png', full_page=True)
    hand_in(page, files['picture'])
    page.get_by_role('button', name='Write a caption').click()
    caption = shown.serving.caption(str(files['picture']))['caption']
    page.locator('#out-caption .omnivl-sentence').get_by_text(caption, exact=True).wait_for()
    page.screenshot(path=screenshots / 'desktop-caption.png', full_page=True)
    do(page, 'Ask', 'what colour is <b>the</b> circle', 'Answer')
    page.locator('#out-answer').get_by_text('<b>the</b>').first.wait_for()  # shown, and not bold
    page.screenshot(path=screenshots / 'desktop-answer.png', full_page=True)
    do(page, 'Match', 'a red circle\na blue square', 'Compare')
    page.locator('#out-match li').nth(1).wait_for()
    do(page, 'Classify', 'circle, square', 'Classify')
    page.locator('#out-classify li').nth(1).wait_for()
    do(page, 'Look', 'a red circle', 'Show where it looks')
    page.locator('#out-attention figure').nth(2).wait_for()
    page.screenshot(path=screenshots / 'desktop-attention.png', full_page=True)
    page.get_by_text('About this model').click()
    page.get_by_text('Keep in mind').wait_for()
    page.screenshot(path=screenshots / 'desktop-about.png', full_page=True)


def test_a_search_shows_pictures_and_plays_clips(open_page, files, screenshots):
    page = open_page()
    do(page, 'Search', 'a red circle', 'Search by text')
    results = page.locator('#out-search figure')
    results.nth(6).wait_for()
    video = page.locator('#out-search video')
    video.scroll_into_view_if_needed()
    video.evaluate('video => video.play()')
    page.wait_for_function('document.querySelector("#out-search video").currentTime > 0.1')
    loaded = 'Array.from(document.querySelectorAll("#out-search img")).every(image => image.naturalWidth > 0)'
    page.wait_for_function(loaded)
    page.screenshot(path=screenshots / 'desktop-search.png', full_page=True)
    hand_in(page, files['avi'], 'video')
    page.get_by_role('button', name='Search by the picture or clip').click()
    page.locator('#out-search figure').first.get_by_text('clip.avi').wait_for()


def test_bad_files_and_missing_ones_are_told_in_a_line(open_page, files, screenshots):
    page = open_page()
    page.get_by_role('button', name='Write a caption').click()
    page.locator('#out-caption [role=alert]').get_by_text('there is no picture or clip yet').wait_for()
    hand_in(page, files['cut.jpg'], '[role=alert]')
    assert page.locator('#preview [role=alert]').inner_text().startswith('cut.jpg cannot be used: it cannot be read')
    page.get_by_role('button', name='Write a caption').click()
    page.locator('#out-caption [role=alert]').get_by_text('cut.jpg cannot be used').wait_for()
    page.screenshot(path=screenshots / 'desktop-broken.png', full_page=True)
    do(page, 'Search', '', 'Search by text')
    page.locator('#out-search [role=alert]').get_by_text('the text to search for is empty: type one').wait_for()
    assert 'Traceback' not in page.content()


def test_a_file_that_is_too_large_never_leaves_the_browser(open_page, tmp_path, screenshots):
    large = tmp_path / 'large.png'
    large.write_bytes(bytes(600_000))
    page = open_page()
    page.set_input_files(FILE, large)
    page.get_by_text(re.compile('exceed the maximum allowed size')).first.wait_for()
    page.screenshot(path=screenshots / 'desktop-too-large.png')


def test_two_users_at_once_get_their_own_answers(open_page, shown, files):
    pages = {name: open_page() for name in ('picture', 'clip')}
    for name, page in pages.items():
        hand_in(page, files[name])
    for page in pages.values():
        do(page, 'Match', 'a red circle', 'Compare')
    for name, page in pages.items():
        score = shown.serving.match(str(files[name]), 'a red circle')['matches'][0]['score']
        page.locator('#out-match').get_by_text(re.compile(f'^{100 * score:.1f} %')).wait_for()


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_a_phone(open_page, screenshots, scheme):
    page = open_page(**PHONE, color_scheme=scheme)
    assert is_as_wide_as_the_window(page)
    page.locator('#examples button').first.tap()
    page.locator('#preview img').wait_for()
    page.get_by_role('button', name='Write a caption').tap()
    page.locator('#out-caption .omnivl-sentence').wait_for()
    assert is_as_wide_as_the_window(page)
    page.get_by_text('About this model').tap()
    page.get_by_text('Keep in mind').wait_for()
    assert is_as_wide_as_the_window(page)
    page.screenshot(path=screenshots / f'phone-{scheme}.png', full_page=True)


def contrast(colours):
    """WCAG's ratio of two colours, 'rgb(r, g, b)' each."""
    levels = []
    for colour in colours:
        parts = [int(value) / 255 for value in re.findall(r'\d+', colour)[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        levels.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(levels) + 0.05) / (min(levels) + 0.05)


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_it_is_legible_in_the_dark_too(open_page, files, screenshots, scheme):
    page = open_page(color_scheme=scheme)
    hand_in(page, files['clip'], 'video')
    do(page, 'Match', 'a red circle', 'Compare')
    page.locator('#out-match li').wait_for()
    colour = (
        "element => [getComputedStyle(element).color, getComputedStyle(document.querySelector('body')).backgroundColor]"
    )
    for text in ('.omnivl-head h1', '.omnivl-head p', '#out-match .omnivl-name', '#out-match .omnivl-figure'):
        assert contrast(page.locator(text).first.evaluate(colour)) >= 4.5, text
    page.screenshot(path=screenshots / f'desktop-{scheme}.png', full_page=True)

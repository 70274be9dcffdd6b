"""Is a file a whole video of a kind that is listed, and not too large? Asked before any decoder sees it.

FFmpeg looks inside a file for what it is, whatever its name: a playlist called ``.mp4`` makes it open other files and
wait for them. So the first bytes must be those of a container of ``CONTAINERS``, and FFmpeg is then told to take the
file for nothing else.

A file that was cut short often still opens: decoders then return the frames that are left, or repeat the last one, each
in its own way. The container says how long the file should be, which costs a few small reads and no decoding.
"""

import struct
from pathlib import Path
from typing import Any, BinaryIO

from omnivl.datasets.errors import BrokenVisualError

from .limits import Limits

# FFmpeg's name of a container -> how it is called here.
CONTAINERS = {
    'mov': 'MP4/MOV/3GP',
    'matroska': 'Matroska/WebM',
    'avi': 'AVI',
    'mpegts': 'MPEG-TS',
    'mpeg': 'MPEG-PS',
    'mpegvideo': 'MPEG video',
    'asf': 'WMV',
    'flv': 'FLV',
    'ogg': 'Ogg',
    'gif': 'GIF',
}
# FFmpeg's names of the codecs that data sets are published in; a project may add to them.
CODECS = {
    *(
        'h264',
        'hevc',
        'av1',
        'vp8',
        'vp9',
        'theora',
        'prores',
        'mjpeg',
        'gif',
        'rawvideo',
        'huffyuv',
        'ffv1',
        'dvvideo',
    ),
    *('mpeg1video', 'mpeg2video', 'mpeg4', 'msmpeg4v1', 'msmpeg4v2', 'msmpeg4v3', 'h263', 'flv1', 'cinepak', 'svq3'),
    *('huffyuv', 'ffv1', 'wmv1', 'wmv2', 'wmv3', 'vc1', 'vp6', 'vp6f', 'indeo4', 'indeo5'),
}
_MP4_FIRST_BOXES = {b'ftyp', b'moov', b'mdat', b'free', b'skip', b'wide', b'pnot', b'styp', b'uuid'}
_FIRST_BYTES = {
    b'\x1a\x45\xdf\xa3': 'matroska',
    b'\x00\x00\x01\xba': 'mpeg',
    b'\x00\x00\x01\xb3': 'mpegvideo',
    b'\x30\x26\xb2\x75': 'asf',
    b'FLV': 'flv',
    b'OggS': 'ogg',
    b'GIF8': 'gif',
}
_MP4_VITAL_BOXES = {b'moov', b'mdat', b'moof'}
_EBML_ID = b'\x1a\x45\xdf\xa3'
_MATROSKA_SEGMENT_ID = b'\x18\x53\x80\x67'


def open_checked(path: str, limits: Limits) -> Any:
    """Open a whole file by PyAV, where its container and codec are listed, and it is not too large.

    Anything else is a ``BrokenVisualError``. The size is that of the codec's own headers, not what the container says
    of it. What a decoder then finds inside is another matter.
    """
    with open(path, 'rb') as file:
        container = container_of(file.read(200))
    if container is None:
        raise BrokenVisualError(
            path, f'it has no video stream: its first bytes are of none of {", ".join(CONTAINERS.values())}'
        )
    import av

    # The formats are named, so nothing else is tried, and no address inside is followed.
    opened = av.open(path, format=container, options={'protocol_whitelist': 'file'}, metadata_errors='replace')
    try:
        if not opened.streams.video:
            raise BrokenVisualError(path, 'it has no video stream')
        context = opened.streams.video[0].codec_context
        codec = None if context is None else context.codec.canonical_name
        if codec not in CODECS:
            raise BrokenVisualError(path, f'its codec is {codec or "unknown"}; allowed are {", ".join(sorted(CODECS))}')
        limits.check(path, context.height, context.width)
    except BaseException:
        opened.close()
        raise
    return opened


def container_of(head: bytes) -> str | None:
    """Tell FFmpeg's name of the container from the first 200 bytes of a file; None for what is no listed one."""
    if head[4:8] in _MP4_FIRST_BOXES:
        return 'mov'
    if head[:4] == b'RIFF' and head[8:12] == b'AVI ':
        return 'avi'
    if is_transport_stream(head):
        return 'mpegts'
    return next((name for first, name in _FIRST_BYTES.items() if head.startswith(first)), None)


def is_transport_stream(head: bytes) -> bool:
    """Tell MPEG-TS by its packets of 188 bytes, or of 192 with a time before each."""
    return any(len(head) > at + size and head[at] == head[at + size] == 0x47 for at, size in ((0, 188), (4, 192)))


def missing_part(path: str) -> str | None:
    """Say what a file lacks: nothing at all, a part of an MP4/MOV, AVI or Matroska/WebM, or the file itself.

    Returns a reason in words, or None if it is whole as far as its container tells (other containers do not tell).
    """
    file = Path(path)
    if not file.is_file():
        return 'it is a folder' if file.is_dir() else 'there is no such file'
    size = file.stat().st_size
    if size == 0:
        return 'the file is empty'
    with file.open('rb') as stream:
        head = stream.read(12)
        stream.seek(0)
        if head[4:8] in _MP4_FIRST_BOXES:
            return _missing_in_mp4(stream, size)
        if head[:4] == b'RIFF' and head[8:] == b'AVI ':
            (declared,) = struct.unpack('<I', head[4:8])
            return _missing_bytes('the AVI list', declared + 8 if declared < 0xFFFFFFFF else size, size)
        if head[:4] == _EBML_ID:
            return _missing_in_matroska(stream, size)
    return None


def _missing_bytes(what: str, end: int, size: int) -> str | None:
    return f'the file was cut short: {what} ends at byte {end}, the file at byte {size}' if end > size else None


def _missing_in_mp4(stream: BinaryIO, size: int) -> str | None:
    """ISO/IEC 14496-12, 4.2: a file is a row of boxes, each with its size and its type."""
    position, seen = 0, set()
    while position + 8 <= size:
        stream.seek(position)
        length, kind = struct.unpack('>I4s', stream.read(8))
        if length == 0:  # up to the end of the file
            length = size - position
        elif length == 1:
            long_size = stream.read(8)
            length = struct.unpack('>Q', long_size)[0] if len(long_size) == 8 else size - position + 1
        seen.add(kind)
        # Only the boxes that matter: stray bytes after the last box are common and harmless.
        if kind in _MP4_VITAL_BOXES and position + length > size:
            return _missing_bytes(f'its {kind.decode()} box', position + length, size)
        if length < 8:
            break
        position += length
    return None if b'moov' in seen else 'the file was cut short: it has no moov box (the table of its frames)'


def _missing_in_matroska(stream: BinaryIO, size: int) -> str | None:
    """RFC 8794: an element is its id, its size as a variable-length integer, and its data."""
    stream.seek(len(_EBML_ID))
    header = _variable_length_integer(stream)
    if header is None:
        return 'the file was cut short inside its first element'
    stream.seek(header, 1)
    if stream.read(4) != _MATROSKA_SEGMENT_ID:
        return None
    segment = _variable_length_integer(stream)
    return None if segment is None else _missing_bytes('its segment', stream.tell() + segment, size)


def _variable_length_integer(stream: BinaryIO) -> int | None:
    """Read the number at the stream's position, or None if it is missing or stands for 'unknown' (all bits set)."""
    first = stream.read(1)
    if not first or first[0] == 0:
        return None
    length = 9 - first[0].bit_length()
    rest = stream.read(length - 1)
    value = int.from_bytes(bytes([first[0] & (0xFF >> length)]) + rest, 'big')
    return None if len(rest) < length - 1 or value == (1 << 7 * length) - 1 else value

"""What the service and a decoder say to each other, over a stream socket: a length, a JSON header, and the bytes it announces.

Nothing is unpickled. The service takes a decoder's answers for what an attacker may have written: each is checked.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service import errors
from service.images.pixels import Prepared
from service.inference.description import Preprocessing
from service.records import Pictures

MAX_HEADER_BYTES = 16_384
MAX_WHY = 1_000
MAX_KEPT_BYTES = 64 << 20
PARTS = ("picture", "thumbnail")
MEDIA_TYPES = frozenset({"image/jpeg", "image/png"})
REFUSALS: dict[str, type[errors.BadImage]] = {
    refusal.__name__: refusal
    for refusal in (
        errors.BadImage, errors.EmptyImage, errors.TruncatedImage, errors.TooManyPixels, errors.TooNarrow, errors.DecodingTooLarge,
    )
}  # fmt: skip
_LENGTH = struct.Struct(">I")


class Garbled(Exception):
    """The other side is gone, or says what it may not say."""


@dataclass(frozen=True, slots=True)
class Request:
    """One picture to prepare."""

    data: bytes
    steps: Preprocessing
    keep: bool


def send_ready(channel: socket.socket) -> None:
    """Say that pictures may come."""
    _send(channel, {"ready": True})


def await_ready(channel: socket.socket, *, deadline: float) -> None:
    """Wait for the decoder to be ready. Raises Garbled or OSError."""
    if _header(channel, deadline) != {"ready": True}:
        raise Garbled("the decoder does not say that it is ready")


def send_request(channel: socket.socket, data: bytes, steps: Preprocessing, *, keep: bool, deadline: float) -> None:
    """Hand over a picture until `deadline`, on the monotonic clock. Raises OSError."""
    _limit(channel, deadline)
    _send(channel, {"size": len(data), "steps": asdict(steps), "keep": keep}, data)


def receive_request(channel: socket.socket) -> Request | None:
    """The next picture, or None when the service is gone."""
    try:
        header = _header(channel, None)
        data = bytes(_bytes(channel, header["size"], None))
    except Garbled:
        return None
    steps = header["steps"] | {name: tuple(header["steps"][name]) for name in ("mean", "deviation")}
    return Request(data, Preprocessing(**steps), header["keep"])


def send_answer(channel: socket.socket, answer: Prepared | errors.BadImage) -> None:
    """Hand back the picture, or why it is refused."""
    if isinstance(answer, errors.BadImage):
        return _send(channel, {"refusal": type(answer).__name__, "why": str(answer)[:MAX_WHY]})
    if answer.pictures is None:
        return _send(channel, {"kept": None}, answer.pixels.tobytes())
    kept = asdict(answer.pictures)
    parts = [kept[name] for name in PARTS]
    kept |= {name: len(kept[name]) for name in PARTS}
    return _send(channel, {"kept": kept}, answer.pixels.tobytes(), *parts)


def receive_answer(channel: socket.socket, steps: Preprocessing, *, keep: bool, deadline: float) -> Prepared | errors.BadImage:
    """The decoder's answer until `deadline`, on the monotonic clock. Raises Garbled, or OSError such as TimeoutError."""
    match _header(channel, deadline):
        case {"refusal": str(name), "why": str(why)} if name in REFUSALS:
            return REFUSALS[name](why)
        case {"kept": None} if not keep:
            return Prepared(_pixels(channel, steps, deadline))
        case {
            "kept": {
                "picture": int(size),
                "thumbnail": int(small),
                "media_type": str(kind),
                "width": int(width),
                "height": int(height),
            }
        } if keep and kind in MEDIA_TYPES and min(size, small, width, height) > 0 and size + small <= MAX_KEPT_BYTES:
            pixels = _pixels(channel, steps, deadline)
            picture, thumbnail = (bytes(_bytes(channel, length, deadline)) for length in (size, small))
            return Prepared(pixels, Pictures(picture, thumbnail, kind, width, height))
    raise Garbled("the decoder's answer has another form")


def _pixels(channel: socket.socket, steps: Preprocessing, deadline: float) -> NDArray[np.uint8]:
    data = _bytes(channel, steps.crop * steps.crop * 3, deadline)
    return np.frombuffer(data, np.uint8).reshape(steps.crop, steps.crop, 3)


def _send(channel: socket.socket, header: dict[str, object], *parts: bytes) -> None:
    text = json.dumps(header).encode()
    channel.sendall(_LENGTH.pack(len(text)) + text)
    for part in parts:
        channel.sendall(part)


def _header(channel: socket.socket, deadline: float | None) -> dict[str, Any]:
    (length,) = _LENGTH.unpack(_bytes(channel, _LENGTH.size, deadline))
    if length > MAX_HEADER_BYTES:
        raise Garbled(f"a header of {length:,} bytes")
    try:
        header = json.loads(_bytes(channel, length, deadline))
    except (ValueError, RecursionError) as error:
        raise Garbled("a header that is no JSON") from error
    if not isinstance(header, dict):
        raise Garbled("a header that is no object")
    return header


def _bytes(channel: socket.socket, size: int, deadline: float | None) -> bytearray:
    data = bytearray(size)
    missing = memoryview(data)
    while missing:
        _limit(channel, deadline)
        count = channel.recv_into(missing)
        if count == 0:
            raise Garbled("the other side is gone")
        missing = missing[count:]
    return data


def _limit(channel: socket.socket, deadline: float | None) -> None:
    """Have the next call end at the deadline; a timeout of 0 would mean not to wait at all."""
    channel.settimeout(None if deadline is None else max(deadline - time.monotonic(), 0.001))

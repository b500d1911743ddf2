"""The process that decodes: `python -m service.images.worker FD SECONDS BYTES` takes one picture after another from a socket.

It shuts itself in before the first: no file and no socket can be opened, no process started, no privilege gained, no more than
BYTES of memory be had, and the kernel ends it when a picture takes longer than SECONDS or when the service is gone.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence

from service.errors import BadImage, DecodingTooLarge
from service.images import wire
from service.images.decode import prepare
from service.images.pixels import Prepared
from service.inference.description import Preprocessing

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38  # prctl(2)
STDOUT, STDERR = 1, 2
PROBE = b"GIF87a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"  # of one pixel
PROBE_STEPS = Preprocessing(256, "bicubic", 224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def main(argv: Sequence[str]) -> None:
    """Serve the socket until the service is gone."""
    descriptor, seconds, memory_bytes = int(argv[0]), float(argv[1]), int(argv[2])
    with socket.socket(fileno=descriptor) as channel:
        _confine(memory_bytes)
        prepare(PROBE, PROBE_STEPS, keep=True)  # or the limits are too tight for any picture
        gc.freeze()  # what is there now is no garbage, ever
        wire.send_ready(channel)
        while (request := wire.receive_request(channel)) is not None:
            signal.setitimer(signal.ITIMER_REAL, seconds)  # SIGALRM keeps its default action, which ends C code as well
            answer = _answer(request)
            signal.setitimer(signal.ITIMER_REAL, 0)
            wire.send_answer(channel, answer)
            del request, answer
            gc.collect()  # it sees that few objects are left, not that they hold the pixels of a large picture


def _answer(request: wire.Request) -> Prepared | BadImage:
    try:
        return prepare(request.data, request.steps, keep=request.keep)
    except BadImage as refusal:
        return type(refusal)(str(refusal))  # the frames behind the first would hold the picture
    except MemoryError:
        return DecodingTooLarge("the picture takes more memory than it is given")
    except Exception as error:
        return BadImage(f"the picture could not be decoded: {type(error).__name__}")


def _confine(memory_bytes: int) -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group; the service says when it is over
        signal.signal(ignored, signal.SIG_IGN)
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.dup2(STDOUT, STDERR)  # /dev/null: codecs complain about pictures there
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 0),
    ):
        resource.setrlimit(limit, (value, value))


if __name__ == "__main__":
    main(sys.argv[1:])

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.jenkins.log import LogReader

NOTE = b"\x1b[8mha:////4AAAAB8lHMgQAAAAAAAA==\x1b[0m"
PIECES = st.one_of(
    st.text(max_size=8).map(str.encode),
    st.sampled_from([NOTE, b"\n", b"\r\n", b"\x1b[0m", b"\x1b[8mha:", "é→".encode(), "\N{ROCKET}".encode()]),
    st.binary(max_size=4),
)


def read(pieces: list[bytes]) -> list[str]:
    reader = LogReader()
    return [line for piece in pieces for line in reader.feed(piece)] + list(reader.finish())


def cut(data: bytes, places: list[int]) -> list[bytes]:
    places = sorted({place % (len(data) + 1) for place in places})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@settings(deadline=None)
@given(st.lists(PIECES, max_size=12).map(b"".join), st.lists(st.integers(0, 200), max_size=12))
def test_a_log_reads_the_same_wherever_it_is_cut(data: bytes, places: list[int]):
    assert read(cut(data, places)) == read([data])


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\n\r\x1b", exclude_categories=["Cs"])), max_size=5))
def test_a_log_with_notes_reads_as_its_lines_do_without(lines: list[str]):
    data = b"".join(NOTE + line.encode() + NOTE + b"\r\n" for line in lines)
    assert read([data[at : at + 1] for at in range(len(data))]) == lines


def test_a_line_is_handed_out_when_it_is_whole():
    reader = LogReader()
    assert reader.feed(b"fir") == ()
    assert reader.feed(b"st\nsec") == ("first",)
    assert reader.finish() == ("sec",)
    assert reader.finish() == ()


def test_a_character_that_is_cut_in_two_is_read_as_one():
    assert read(["é".encode()[:1], "é".encode()[1:] + b"\n"]) == ["é"]


def test_a_note_is_not_shown_when_it_is_cut_anywhere():
    for at in range(len(NOTE)):
        assert read([b"a" + NOTE[:at], NOTE[at:] + b"b\n"]) == ["ab"]


def test_a_note_that_never_ends_takes_no_more_than_its_line():
    assert read([b"a\x1b[8mha:xyz\nb\n"]) == ["a", "b"]


def test_other_escapes_are_left_to_whoever_shows_the_line():
    assert read([b"\x1b[31mred\x1b[0m\n"]) == ["\x1b[31mred\x1b[0m"]


def test_bytes_that_are_no_text_stop_nothing():
    assert re.fullmatch("a\N{REPLACEMENT CHARACTER}+b", read([b"a\xff\xc3b\n"])[0])

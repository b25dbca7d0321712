"""What is said while kernels compile, and to whom."""

import io
import sys
import threading

import pytest

from fastbp.kernels.toolchain import notice


class Terminal(io.StringIO):
    def isatty(self):
        return True


def said(stream, monkeypatch, seconds=0.0):
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(notice, "AFTER_SECONDS", seconds)
    with notice.told(7, 2):
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer) and not seconds:
                thread.join()
    return stream.getvalue()


@pytest.mark.parametrize("quiet", ["", "0"])
def test_a_terminal_is_told_in_one_line(monkeypatch, quiet):
    monkeypatch.setenv("FASTBP_QUIET", quiet)
    text = said(Terminal(), monkeypatch)
    assert text.count("\n") == 1 and text.endswith("\n")
    assert "compiles 7 kernels" in text and "about 8 s" in text and "once" in text


def test_what_takes_less_than_the_delay_is_not_told(monkeypatch):
    assert said(Terminal(), monkeypatch, seconds=60.0) == ""


def test_logs_are_not_told(monkeypatch):
    assert said(io.StringIO(), monkeypatch) == ""


def test_nobody_is_told_who_wants_quiet(monkeypatch):
    monkeypatch.setenv("FASTBP_QUIET", "1")
    assert said(Terminal(), monkeypatch) == ""


def test_a_process_without_standard_error_goes_on(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with notice.told(7, 2):
        pass


def test_a_terminal_that_was_closed_is_no_error(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(notice, "AFTER_SECONDS", 0.0)
    problems = []
    monkeypatch.setattr(threading, "excepthook", problems.append)
    with notice.told(7, 2):
        stream.close()
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):
                thread.join()
    assert not problems

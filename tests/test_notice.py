"""What is said while kernels compile, and to whom."""

import io
import sys
import threading

import pytest

from fastbp.kernels.toolchain import notice


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def a_new_process(monkeypatch):
    monkeypatch.setattr(notice, "_was_told", False)
    monkeypatch.setattr(notice, "AFTER_SECONDS", 0.0)


def compile_before(stream, monkeypatch):
    """What takes as long as the line does."""
    monkeypatch.setattr(sys, "stderr", stream)
    with notice.told():
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):
                thread.join()


@pytest.mark.parametrize("quiet", ["", "0"])
def test_a_terminal_is_told_once_in_one_line(monkeypatch, quiet):
    monkeypatch.setenv("FASTBP_QUIET", quiet)
    stream = Terminal()
    for _ in range(2):
        compile_before(stream, monkeypatch)
        text = stream.getvalue()
        assert "compiles" in text and "once" in text and text.index("\n") == len(text) - 1


def test_what_takes_less_than_the_delay_is_not_told(monkeypatch):
    monkeypatch.setattr(notice, "AFTER_SECONDS", 60.0)
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with notice.told():
        pass
    assert stream.getvalue() == ""


def test_neither_logs_nor_who_wants_quiet_are_told(monkeypatch):
    log, terminal = io.StringIO(), Terminal()
    compile_before(log, monkeypatch)
    monkeypatch.setenv("FASTBP_QUIET", "1")
    compile_before(terminal, monkeypatch)
    assert log.getvalue() == terminal.getvalue() == ""


def test_a_standard_error_that_is_closed_or_missing_is_no_error(monkeypatch):
    problems = []
    monkeypatch.setattr(threading, "excepthook", problems.append)
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with notice.told():
        stream.close()
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):
                thread.join()
    compile_before(None, monkeypatch)
    assert not problems

"""What a user is told while kernels compile."""

import io
import sys
import threading
import time

import pytest

from fastbp.kernels.toolchain import compile as compiling


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def a_new_process(monkeypatch):
    monkeypatch.setattr(compiling, "_has_told", False)
    monkeypatch.setattr(compiling, "TOLD_AFTER", 0.0)


def compile_before(stream, monkeypatch):
    """Wait for what takes longer than the delay."""
    monkeypatch.setattr(sys, "stderr", stream)
    thread = threading.Thread(target=time.sleep, args=(0.01,))
    thread.start()
    compiling.wait_for([thread])


@pytest.mark.parametrize("quiet", ["", "0"])
def test_a_terminal_is_told_once_in_one_line(monkeypatch, quiet):
    monkeypatch.setenv("FASTBP_QUIET", quiet)
    stream = Terminal()
    for _ in range(2):
        compile_before(stream, monkeypatch)
        text = stream.getvalue()
        assert "compiles" in text and "once" in text and text.index("\n") == len(text) - 1


def test_what_takes_less_than_the_delay_is_not_told(monkeypatch):
    monkeypatch.setattr(compiling, "TOLD_AFTER", 60.0)
    stream = Terminal()
    compile_before(stream, monkeypatch)
    assert stream.getvalue() == ""


def test_neither_logs_nor_who_wants_quiet_are_told(monkeypatch):
    log, terminal = io.StringIO(), Terminal()
    compile_before(log, monkeypatch)
    monkeypatch.setenv("FASTBP_QUIET", "1")
    compile_before(terminal, monkeypatch)
    assert log.getvalue() == terminal.getvalue() == ""


def test_a_standard_error_that_is_closed_or_missing_is_no_error(monkeypatch):
    stream = Terminal()
    stream.close()
    for each in (stream, None, object()):
        compile_before(each, monkeypatch)

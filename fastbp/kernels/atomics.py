"""For threads that share a fit: atomic integers, a barrier, and yielding the core while waiting."""

import operator
import sys
import threading
import time

from .compiler import IS_INTERPRETED, jit, primitive
from .toolchain.late import ir, types
from .vectors import address

# Elements of a team's `sync` array, a cache line (8 elements) apart, so that waiting for one does not slow the others.
ARRIVED, INTERRUPT, STOP, FAILED = 0, 8, 16, 24
SYNC_SIZE = 32
# About a microsecond. A thread that waits longer yields the core at every look: the other thread may be waiting for this core
# while another library's idle threads spin on the next one (measured: 2 ms for a fit, 12 ms with sleeps after 0.1 ms instead).
SPINS = 0 if IS_INTERPRETED else 1000
_adding = threading.Lock()


def _add(array, index, value):
    with _adding:
        before = array[index]
        array[index] = before + value
        return before


@primitive(operator.getitem)
def atomic_load(typing_context, array, index):
    """array[index], never from a register."""

    def codegen(context, builder, sig, args):
        return builder.load_atomic(address(context, builder, sig.args[0], *args, "atomic_load"), "seq_cst", 8)

    return types.int64(array, types.intp), codegen


@primitive(_add)
def atomic_add(typing_context, array, index, value):
    """Add to array[index]; returns what was there before."""

    def codegen(context, builder, sig, args):
        pointer = address(context, builder, sig.args[0], *args[:2], "atomic_add")
        return builder.atomic_rmw("add", pointer, args[2], "seq_cst")

    return types.int64(array, types.intp, types.int64), codegen


@primitive(lambda: time.sleep(0))
def offer_core(typing_context):
    """Yield the core if another thread waits for it."""

    def codegen(context, builder, sig, args):
        name = "SwitchToThread" if sys.platform == "win32" else "sched_yield"  # functions that every process has
        offer = builder.module.globals.get(name) or ir.Function(builder.module, ir.FunctionType(ir.IntType(32), []), name)
        builder.call(offer, [])
        return context.get_dummy_value()

    return types.void(), codegen


@jit
def is_stopped(sync):
    """Whether this thread was told to stop; the other threads of its team see it in sync[STOP] after the next barrier."""
    if atomic_load(sync, INTERRUPT):
        sync[STOP] = 1
        return True
    return False


@jit
def barrier(sync, n_threads):
    """Wait until all n_threads of the team are here; sync[ARRIVED] counts arrivals and starts at a multiple of n_threads.

    If a thread fails, for example by a bounds check, sync[FAILED] is 1: then no thread waits, and all stop.
    """
    if n_threads == 1:
        return
    arrived = atomic_add(sync, ARRIVED, 1)
    everybody = arrived - arrived % n_threads + n_threads
    spins = 0
    while atomic_load(sync, ARRIVED) < everybody:
        if atomic_load(sync, FAILED):
            sync[INTERRUPT] = sync[STOP] = 1
            return
        spins += 1
        if spins > SPINS:
            offer_core()

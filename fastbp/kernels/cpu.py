"""The CPU that kernels are compiled for: how wide its vectors are, and which level of x86-64 it is."""

import functools
import os

import llvmlite.binding

# The levels that a wheel has kernels for, best first: the bytes of a vector, and the features that the level requires, in LLVM's
# names ("x86-64 psABI", 3.1.1).
_V3 = "cx16 popcnt sahf sse3 sse4.1 sse4.2 ssse3 avx avx2 bmi bmi2 f16c fma lzcnt movbe xsave".split()
_V4 = "avx512f avx512bw avx512cd avx512dq avx512vl".split()
LEVELS = {"x86-64-v4": (64, frozenset(_V3 + _V4)), "x86-64-v3": (32, frozenset(_V3))}


def cpu_name() -> str:
    """LLVM's name of the CPU that kernels are compiled for."""
    return os.environ.get("NUMBA_CPU_NAME") or llvmlite.binding.get_host_cpu_name()


def host_features() -> set[str]:
    """Features of the CPU that kernels are compiled for."""
    return {name.removeprefix("+") for name in feature_string().split(",") if name.startswith("+")}


def feature_string() -> str:
    """The same features in LLVM's format: NUMBA_CPU_FEATURES, or this CPU's without what NUMBA_ENABLE_AVX=0 turns off."""
    given = os.environ.get("NUMBA_CPU_FEATURES")
    if given is not None:
        return given
    features = dict(llvmlite.binding.get_host_cpu_features())
    if os.environ.get("NUMBA_ENABLE_AVX") == "0":
        features.update((name, False) for name in features if name.startswith("avx"))
    return ",".join(f"{'+' if is_on else '-'}{name}" for name, is_on in sorted(features.items()))


@functools.cache
def available_cores() -> int:
    """Return how many cores this process may use: its affinity, its container's quota and the usual environment variables, which
    joblib's workers set, limit them."""
    import joblib  # not in the processes that compile

    limits = [joblib.cpu_count()]
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdigit() and int(value) > 0:
            limits.append(int(value))
    return min(limits)


def vectors_of(features) -> tuple[int, int]:
    """Bytes of a vector register of a CPU with these features, and how many there are."""
    if {"avx512f", "avx512vl"} <= features:
        return 64, 32
    if {"avx2", "fma"} <= features:
        return 32, 16
    return 16, 16 if IS_X86 else 32


def level_of(features, vector_bytes):
    """The level of x86-64 whose machine code runs on a CPU with these features and uses vectors of this width, or None."""
    for level, (level_bytes, needed) in LEVELS.items():
        if IS_X86 and needed <= features and level_bytes == vector_bytes:
            return level
    return None


IS_X86 = llvmlite.binding.get_process_triple().split("-")[0] in ("x86_64", "i686", "amd64")
_FEATURES = host_features()
VECTOR_BYTES, N_REGISTERS = vectors_of(_FEATURES)
LEVEL = level_of(_FEATURES, VECTOR_BYTES)

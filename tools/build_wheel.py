"""Build a wheel that carries its compiled kernels, for this platform and every Python: a first fit then waits for nothing.

    pip install '.[wheel]' && python tools/build_wheel.py

It takes a few minutes and a C compiler, which links. On a CPU below x86-64-v3 the installed package compiles its kernels as one
from source does.
"""

import argparse
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from fastbp.kernels.cpu import LEVEL, LEVELS

ROOT = Path(__file__).resolve().parents[1]


def build(output, *names):
    """Build the wheel into the folder `output`, with all kernels or those of these names."""
    if LEVEL is None:
        raise SystemExit(f"kernels are carried for {' and '.join(LEVELS)}, and this CPU is neither")
    with tempfile.TemporaryDirectory() as folder:
        run("build", "--no-isolation", "--outdir", folder, ROOT)  # the wheel from the sdist: no leftovers of build/
        (plain,) = Path(folder).glob("*.whl")
        run("wheel", "unpack", "--dest", folder, plain)
        (site,) = (path for path in Path(folder).iterdir() if path.is_dir())
        for level in LEVELS:
            compile_kernels(site, level, *names)
        mark(site)
        output.mkdir(parents=True, exist_ok=True)
        run("wheel", "pack", "--dest-dir", output, site)


def compile_kernels(site, level, *names):
    """Write the kernels of one level, all or those of these names, where the unpacked wheel `site` carries them."""
    _, features = LEVELS[level]
    environment = {
        **os.environ,
        "PYTHONPATH": str(site),
        "PYTHONDONTWRITEBYTECODE": "1",  # or bytecode would lie in the wheel
        "NUMBA_CPU_NAME": level,
        "NUMBA_CPU_FEATURES": ",".join(f"+{feature}" for feature in sorted(features)),
    }
    script = Path(__file__).with_name("compile_kernels.py")
    subprocess.run([sys.executable, script, level, *names], env=environment, check=True, cwd=site)


def mark(site):
    """Say in an unpacked wheel that it is for this platform alone."""
    (path,) = site.glob("*.dist-info/WHEEL")
    platform = re.sub(r"\W", "_", sysconfig.get_platform())
    text = path.read_text(encoding="utf-8")
    text = text.replace("Root-Is-Purelib: true", "Root-Is-Purelib: false")
    path.write_text(text.replace("Tag: py3-none-any", f"Tag: py3-none-{platform}"), encoding="utf-8")


def run(module, *arguments):
    """Run a module of Python's in a process of its own."""
    subprocess.run([sys.executable, "-m", module, *arguments], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("dist"), help="folder of the wheel (default: dist)")
    build(parser.parse_args().output)

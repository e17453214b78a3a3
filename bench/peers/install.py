"""Puts peers where they can be run: from their registries, into the scratch folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

PYTHON = {
    "duckdb": ["duckdb", "numpy", "pyarrow"],
    "chdb": ["chdb", "numpy"],
    "pathway": ["pathway", "numpy"],
}


class Missing(Exception):
    """A peer that can't be installed."""


def call(command, **options):
    """Runs a command quietly; what it says is told when it fails."""
    try:
        done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, **options)
    except OSError as error:
        raise Missing(f"{command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        lines = done.stdout.strip().splitlines()
        raise Missing(f"{command[0]} failed: " + " / ".join(lines[-3:]))
    return done.stdout


def braid(bin_folder):
    """The folder with `braid` and `edges`, built if it is not given."""
    if bin_folder:
        return Path(bin_folder).resolve()
    packages = ["-p", "braid-jobs", "-p", "braid-bench"]
    call(["cargo", "build", "--release", "--locked", *packages], cwd=ROOT)
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"


def python(scratch, peer):
    """The interpreter that has a peer, and the peer's version."""
    venv = scratch / "venv"
    program = venv / "bin" / "python"
    if not program.exists():
        call([sys.executable, "-m", "venv", venv])
    pip = [program, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    call([*pip, "--constraint", HERE / "requirements.txt", *PYTHON[peer]])
    version = call([program, "-c", f"import importlib.metadata as m; print(m.version({peer!r}))"])
    return program, version.strip()


def flink(scratch):
    """What runs the Flink job, and Flink's version."""
    pom = HERE / "flink" / "pom.xml"
    out = scratch / "flink"
    call(["mvn", "-q", "-B", "-f", pom, f"-Dout={out}", "package"])
    version = re.search(r"<flink.version>(.*)</flink.version>", pom.read_text()).group(1)
    opens = [f"--add-opens=java.base/{package}=ALL-UNNAMED"
             for package in ("java.lang", "java.util", "java.time", "java.nio")]
    jars = f"{out}/peer-flink-1.jar:{out}/lib/*"
    return ["java", "-Xmx4g", *opens, "-cp", jars, "braid.peer.Shop"], version


def dbsp(scratch):
    """The program that runs dbsp, and dbsp's version."""
    manifest = HERE / "dbsp" / "Cargo.toml"
    target = os.environ.get("PEERS_DBSP_TARGET", scratch / "dbsp")
    env = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    call(["cargo", "build", "--release", "--locked", "--manifest-path", manifest], env=env)
    version = locked(HERE / "dbsp" / "Cargo.lock", "dbsp")
    return Path(target) / "release" / "braid-peer-dbsp", version


def locked(lock, name):
    """The version of a crate in a lock file."""
    return re.search(rf'name = "{name}"\nversion = "(.*)"', lock.read_text()).group(1)

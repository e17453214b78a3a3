"""Runs a program and says what it used, as the kernel counts it for the whole process."""

import json
import os
import signal
import subprocess
import tempfile
import time


class Failed(Exception):
    """A program that did not end well."""


def run(command, env=None, timeout=None):
    """Wall and CPU seconds, peak resident memory, and the answer on the last line, if any."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begun = time.monotonic()
        child = subprocess.Popen(
            [str(part) for part in command], stdout=out, stderr=err, stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})}, start_new_session=True)
        status, usage = wait(child.pid, begun, timeout)
        seconds = time.monotonic() - begun
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            late = timeout and seconds >= timeout
            why = f"was stopped after {timeout:.0f} s" if late else tail(err) or tail(out)
            raise Failed(f"exit code {child.returncode}: {why}")
        lines = [line for line in read(out).splitlines() if line.startswith('{"')]
        return {
            "seconds": seconds,
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "peak_rss_bytes": usage.ru_maxrss * 1024,
            "answer": json.loads(lines[-1]).get("answer") if lines else None,
        }


def wait(pid, begun, timeout):
    """Like wait4, but ends what takes longer. Its own children are in its usage as well."""
    while True:
        found, status, usage = os.wait4(pid, os.WNOHANG)
        if found:
            return status, usage
        if timeout and time.monotonic() - begun > timeout:
            os.killpg(pid, signal.SIGKILL)
            timeout = None
        time.sleep(0.01)


def read(file):
    file.seek(0)
    return file.read().decode(errors="replace")


def tail(file):
    return " / ".join(read(file).strip().splitlines()[-3:])

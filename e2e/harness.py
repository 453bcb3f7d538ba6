"""A small harness: checks with names, programs that are always ended, and a limit for everything."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time
import traceback
import urllib.error
import urllib.request

# Seconds that one check may take, and a program until it answers or has ended.
CHECK_LIMIT = 30
START_LIMIT = 20
STOP_LIMIT = 20

CHECKS = []


def check(name, via=(None,)):
    """Registers a check. With `via` it is one check for each of these providers, which it is given."""
    def register(function):
        for provider in via:
            title = name if provider is None else f"{name} via {provider}"
            arguments = () if provider is None else (provider,)
            CHECKS.append((title, function, arguments))
        return function
    return register


def equal(seen, expected):
    assert seen == expected, f"saw {seen!r}, expected {expected!r}"


def raises(kind, call):
    """Calls, and gives back the exception of that kind which must come of it."""
    try:
        result = call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}, but {result!r}")


class Report:
    """Counts, and prints a line a check."""

    def __init__(self, as_json):
        self.as_json, self.rows = as_json, []

    def add(self, name, outcome, seconds=0.0, why=""):
        self.rows.append({"name": name, "outcome": outcome, "seconds": round(seconds, 3), "why": why})
        if not self.as_json:
            print(f"{outcome:7} {seconds:6.2f} s  {name}", flush=True)
            if why:
                print("        " + why.strip().replace("\n", "\n        "), flush=True)

    def run(self, name, function, arguments):
        begun = time.monotonic()
        try:
            with limited(CHECK_LIMIT):
                function(*arguments)
        except Exception as error:
            why = "".join(traceback.format_exception(error, limit=-4, chain=False))
            self.add(name, "FAILED", time.monotonic() - begun, why)
        else:
            self.add(name, "ok", time.monotonic() - begun)

    def end(self):
        """Prints the count. True when all is well."""
        count = {outcome: sum(row["outcome"] == outcome for row in self.rows) for outcome in ["ok", "FAILED", "SKIPPED"]}
        if self.as_json:
            print(json.dumps({"checks": self.rows, "passed": count["ok"], "failed": count["FAILED"], "skipped": count["SKIPPED"]}))
        else:
            print(f"{count['ok']} passed, {count['FAILED']} failed, {count['SKIPPED']} skipped")
        return count["FAILED"] == 0 and count["ok"] > 0


@contextlib.contextmanager
def limited(seconds):
    """Raises TimeoutError inside what takes longer."""
    def late(*_):
        raise TimeoutError(f"not done after {seconds} s")
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Program:
    """A program that runs until the harness ends it; its words are kept in a file."""

    def __init__(self, command, environment=None, folder=None):
        self.log = tempfile.NamedTemporaryFile(mode="w+b", suffix=".log")
        self.command = [str(word) for word in command]
        self.child = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.log,
                                      stderr=subprocess.STDOUT, env=environment, cwd=folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()
        self.log.close()

    def words(self):
        return pathlib.Path(self.log.name).read_text(errors="replace")

    def answering(self, url):
        """Waits until anything at all is answered there."""
        def answers():
            try:
                urllib.request.urlopen(url, timeout=2).close()
            except urllib.error.HTTPError:
                return True
            except OSError:
                return False
            return True
        self.until(answers, f"does not answer at {url}")
        return self

    def printed(self, pattern):
        """Waits until the program has written something, and gives back the match."""
        self.until(lambda: re.search(pattern, self.words()), f"did not write {pattern!r}")
        return re.search(pattern, self.words())

    def until(self, holds, otherwise):
        deadline = time.monotonic() + START_LIMIT
        while not holds():
            over = self.child.poll() is not None
            if over or time.monotonic() > deadline:
                raise RuntimeError(f"{self.command[0]} {'has ended and ' if over else ''}{otherwise}\n{self.words()[-3000:]}")
            time.sleep(0.02)

    def stop(self):
        """Asks the program to end; gives back its exit code."""
        self.child.terminate()
        return self.child.wait(STOP_LIMIT)


def bare(**variables):
    """An environment with nothing in it but these."""
    return {"PATH": os.environ["PATH"], **variables}

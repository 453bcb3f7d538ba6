"""Configuration files: a bad one never runs, a good one does as it says."""

import contextlib
import json
import pathlib
import signal
import subprocess
import tempfile
import urllib.request

from harness import Program, bare, check, equal, free_port
from world import WORLD

CANARY = "sk-canary-in-a-coal-mine"
BAD = f"""\
listen: 127.0.0.1:8787
providers:
  openai: {{keys: {CANARY}, base_ulr: "http://127.0.0.1:1"}}
"""


@contextlib.contextmanager
def written(text):
    """A folder with that `sekisho.yaml`."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "sekisho.yaml").write_text(text)
        yield path


@check("configuration: a bad file never runs")
def _():
    for command in ["serve", "check"]:
        with written(BAD) as folder:
            words = [WORLD.binaries / "sekisho", command]
            ended = subprocess.run(words, env={}, cwd=folder, capture_output=True, text=True, timeout=20)
        equal(ended.returncode, 78)
        assert "sekisho.yaml:3:" in ended.stderr and "`base_url`" in ended.stderr, ended.stderr
        assert CANARY not in ended.stdout + ended.stderr, "the key is printed"


def house(first):
    """A configuration in which `guard` is at first that provider."""
    dead = f"http://127.0.0.1:{free_port()}/v1"
    return f"""\
providers:
  dead: {{base_url: "{dead}", keys: sk-dead-provider}}
  alive: {{base_url: "{WORLD.provider}/v1", keys: sk-live-provider}}
models:
  guard: [{first}/kit-large, alive/kit-small]
"""


@contextlib.contextmanager
def serving(folder):
    address = f"127.0.0.1:{free_port()}"
    with Program([WORLD.binaries / "sekisho", "serve", "--listen", address], bare(), folder) as sekisho:
        yield sekisho.answering(f"http://{address}/health"), f"http://{address}/v1/chat/completions"


def ask(url):
    """Where `guard` went, and how many attempts it took."""
    body = json.dumps({"model": "guard", "messages": [{"role": "user", "content": "hello"}]}).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert json.load(answer)["choices"][0]["message"]["content"]
        return answer.headers["x-sekisho-target"], answer.headers["x-sekisho-attempts"]


@check("configuration: an alias goes on to its next target")
def _():
    with written(house("dead")) as folder, serving(folder) as (_, url):
        equal(ask(url), ("alive/kit-small", "2"))


@check("configuration: a good file is taken in place")
def _():
    with written(house("dead")) as folder, serving(folder) as (sekisho, url):
        (folder / "sekisho.yaml").write_text(house("alive"))
        sekisho.child.send_signal(signal.SIGHUP)
        sekisho.until(lambda: ask(url) == ("alive/kit-large", "1"), "did not take the new file")


@check("configuration: a bad file changes nothing")
def _():
    with written(house("alive")) as folder, serving(folder) as (sekisho, url):
        (folder / "sekisho.yaml").write_text(BAD)
        sekisho.child.send_signal(signal.SIGHUP)
        sekisho.printed("base_ulr")
        equal(ask(url), ("alive/kit-large", "1"))
        assert CANARY not in sekisho.words(), "the key is printed"

"""Configuration files: a bad one never runs, a good one does as it says."""

import contextlib
import json
import pathlib
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


@check("configuration: an alias goes on to its next target")
def _():
    dead, address = f"http://127.0.0.1:{free_port()}/v1", f"127.0.0.1:{free_port()}"
    text = f"""\
providers:
  dead: {{base_url: "{dead}", keys: sk-dead-provider}}
  alive: {{base_url: "{WORLD.provider}/v1", keys: sk-live-provider}}
models:
  guard: [dead/kit-large, alive/kit-large]
"""
    with written(text) as folder:
        with Program([WORLD.binaries / "sekisho", "serve", "--listen", address], bare(), folder) as sekisho:
            sekisho.answering(f"http://{address}/health")
            body = json.dumps({"model": "guard", "messages": [{"role": "user", "content": "hello"}]}).encode()
            request = urllib.request.Request(
                f"http://{address}/v1/chat/completions", body, {"content-type": "application/json"})
            with urllib.request.urlopen(request, timeout=20) as answer:
                headers = answer.headers
                assert json.load(answer)["choices"][0]["message"]["content"]
            equal((headers["x-sekisho-target"], headers["x-sekisho-attempts"]), ("alive/kit-large", "2"))

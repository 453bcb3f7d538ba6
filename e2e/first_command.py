"""What a newcomer does first: start sekisho with nothing configured, and paste what it prints."""

import contextlib
import json
import pathlib
import re
import subprocess
import tempfile
import urllib.request

from harness import Program, bare, check, equal, free_port
from world import HERE, WORLD

README = HERE.parent / "README.md"
ADDRESS = r"127\.0\.0\.1:\d+"


@contextlib.contextmanager
def newcomer():
    """A sekisho that has neither configuration nor environment, in an empty folder; with its address."""
    with tempfile.TemporaryDirectory() as folder:
        address = f"127.0.0.1:{free_port()}"
        command = [WORLD.binaries / "sekisho", "--listen", address]
        with Program(command, {}, pathlib.Path(folder)) as sekisho:
            yield sekisho.answering(f"http://{address}/health"), address


def curl_in(text):
    """The first `curl` command of a text, with the lines that continue it."""
    found = re.search(r"^[\s>$`]*(curl\b(?:.*\\\n)*.*)$", text, re.MULTILINE)
    assert found, f"there is no curl command in:\n{text}"
    return found.group(1).rstrip("`")


def paste(command):
    shell = subprocess.run(["bash", "-c", command], env=bare(), capture_output=True, text=True, timeout=20)
    equal((shell.returncode, shell.stderr if shell.returncode else ""), (0, ""))
    return shell.stdout


def content_of(answer):
    """What the model says, whether the command asked for a stream or not."""
    if answer.lstrip().startswith("data:"):
        data = [line.removeprefix("data:").strip() for line in answer.splitlines() if line.startswith("data:")]
        equal(data[-1], "[DONE]")
        choices = [choice for chunk in data[:-1] for choice in json.loads(chunk)["choices"]]
        return "".join(choice["delta"].get("content") or "" for choice in choices)
    return json.loads(answer)["choices"][0]["message"]["content"]


@check("first command: the printed curl answers")
def _():
    with newcomer() as (sekisho, address):
        sekisho.printed(r"\bcurl\b.*")
        command = curl_in(sekisho.words())
        assert address in command, command
        assert content_of(paste(command)).strip(), command


@check("first command: the README's curl answers")
def _():
    with newcomer() as (_, address):
        command = re.sub(ADDRESS + "|localhost:[0-9]+", address, curl_in(README.read_text()))
        assert content_of(paste(command)).strip(), command


@check("first command: health, models, unknown path")
def _():
    with newcomer() as (_, address):
        health = json.load(urllib.request.urlopen(f"http://{address}/health", timeout=5))
        equal((health["status"], health["ok"]), ("ok", True))
        models = json.load(urllib.request.urlopen(f"http://{address}/v1/models", timeout=5))
        assert any("demo" in model["id"] for model in models["data"]), models
        root = urllib.request.Request(f"http://{address}/", method="HEAD")
        equal(urllib.request.urlopen(root, timeout=5).status, 200)
        equal(paste(f"curl -s -o /dev/null -w '%{{http_code}}' http://{address}/no/such/path"), "404")


@check("first command: ends when asked to")
def _():
    with newcomer() as (sekisho, _):
        equal(sekisho.stop(), 0)


@check("first command: another address without keys is refused")
def _():
    with tempfile.TemporaryDirectory() as folder:
        command = [WORLD.binaries / "sekisho", "serve", "--listen", f"0.0.0.0:{free_port()}"]
        refused = subprocess.run(command, env={}, cwd=folder, capture_output=True, text=True, timeout=20)
    equal(refused.returncode, 78)
    assert "SEKISHO_KEYS" in refused.stderr, refused.stderr

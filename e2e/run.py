"""End-to-end checks: the built binary over real sockets, with real SDKs as its clients and a scripted
provider and a real llama server behind it. Prints a line a check and a count; 0 when none failed.

`cargo xtask test --only e2e` brings everything that this needs. By hand:
    python run.py --bin ../target/debug [--node-modules FOLDER] [--only WORDS] [--json]
"""

import argparse
import pathlib
import sys

import anthropic_sdk  # noqa: F401  (the modules register their checks)
import configuration  # noqa: F401
import first_command  # noqa: F401
import google_sdk  # noqa: F401
import langchain_sdk  # noqa: F401
import llama  # noqa: F401
import node  # noqa: F401
import openai_sdk  # noqa: F401
import responses_sdk  # noqa: F401
import suites  # noqa: F401
import secrets_kept  # noqa: F401  (last: it looks at what the others made sekisho write)
from harness import CHECKS, Report
from world import WORLD, set_up


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, type=pathlib.Path, help="folder with sekisho and testkit-provider")
    parser.add_argument("--node-modules", type=pathlib.Path, help="folder whose node_modules has the Node SDKs")
    parser.add_argument("--only", default="", help="run the checks whose name holds this")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of words")
    return parser.parse_args()


def main():
    given = arguments()
    WORLD.binaries, WORLD.node_modules = given.bin.resolve(), given.node_modules
    report = Report(given.json)
    chosen = [found for found in CHECKS if given.only in found[0]]
    try:
        with set_up():
            for name, function, parameters in chosen:
                report.run(name, function, parameters)
    except RuntimeError as error:
        report.add("set-up", "FAILED", why=str(error))
    return 0 if report.end() else 1


if __name__ == "__main__":
    sys.exit(main())

"""Settle a manifest by hand: `python -m workflow.gsc.settle ROLE MODE < made > settled`."""

from __future__ import annotations

import argparse
import sys

from pytorch_common.contract import available_threads
from workflow.gsc import manifest
from workflow.core.errors import WorkflowError
from workflow.images.build_spec import ROLES
from workflow.core.settings import INSECURE_OPTIONS


def main() -> None:
    """Read GSC's manifest from standard input, write the one to be signed to standard output."""
    parser = argparse.ArgumentParser(prog="workflow.gsc.settle", description=main.__doc__)
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("mode", choices=("sgx", "direct"))
    parser.add_argument("--insecure", action="append", default=[], choices=INSECURE_OPTIONS)
    args = parser.parse_args()
    made = manifest.parse(sys.stdin.buffer.read(), "standard input")
    variables = made.get("loader", {}).get("env", {})
    threads = int(variables.get(f"{args.role.upper()}_THREADS", available_threads()))
    admitted = frozenset(args.insecure)
    settled = manifest.settle(made, mode=args.mode, threads=threads, insecure=admitted)
    manifest.refuse_insecure(manifest.lint(settled, args.mode), args.mode, admitted)
    sys.stdout.buffer.write(manifest.dumps(settled))


if __name__ == "__main__":
    try:
        main()
    except WorkflowError as error:
        sys.exit(str(error.message))

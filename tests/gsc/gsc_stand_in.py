"""A stand-in for GSC's command line: its image names, texts and exit statuses, nothing of Gramine.

Run as ``gsc`` in a folder of its own (``install``), it works with the real Docker daemon. Written
after gsc.py at the commit that this project was run with. It makes no enclave: its measurement is
the SHA-256 of the manifest, its signature a JSON file.

A file ``behave`` beside it makes it fail in one of the ways of BEHAVIOURS; ``calls`` beside it
lists what it was called with. Gramine's signer is a shell script in the images that it makes.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import docker
import tomli
import tomli_w
import yaml

from tests.gsc.gsc_stand_in_parts import (
    APP_FILES,
    BIN,
    PACKAGES,
    SIGNER,
    find,
    finished_manifest,
    make_image,
    read_file,
)

LAUNCHER = """#!/usr/bin/env python3
import sys
sys.path.insert(0, {project!r})
from tests.gsc.gsc_stand_in import main
main()
"""


def install(checkout: Path) -> str:
    """Make a checkout of it, configured; return its commit."""
    checkout.mkdir(parents=True)
    script = checkout / "gsc"
    script.write_text(LAUNCHER.format(project=str(Path(__file__).resolve().parents[2])))
    script.chmod(0o755)
    (checkout / ".gitignore").write_text("/calls\n/behave\n/config.yaml\n/build\n")
    (checkout / "config.yaml").write_text("Gramine: {Image: none}\n")
    for words in (
        ("init", "--quiet"),
        ("add", "--all"),
        ("-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "--quiet", "-m", "x"),
    ):
        subprocess.run(["git", *words], cwd=checkout, check=True)
    asked = ["git", "rev-parse", "HEAD"]
    done = subprocess.run(asked, cwd=checkout, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def fail(text: str) -> NoReturn:
    """Print the reason on standard output and leave with 1, as GSC does."""
    say(text)
    sys.exit(1)


def build(args: argparse.Namespace, client: Any) -> None:
    unsigned, signed = f"gsc-{args.image}-unsigned", f"gsc-{args.image}"
    if find(client, signed) is not None:
        say(f"Final graminized image `{signed}` already exists.")
        sys.exit(0)
    image = find(client, args.image)
    if image is None:
        fail(f"Cannot find original application Docker image `{args.image}`.")
    config = yaml.safe_load(Path("config.yaml").read_text())
    if not config.get("Gramine"):
        sys.exit("Missing `Gramine` section in the config file.")
    if not Path(args.manifest).exists():
        sys.stderr.write(f'Manifest file "{args.manifest}" does not exist.\n')
        sys.exit(1)
    try:
        user = tomli.loads(Path(args.manifest).read_text())
    except tomli.TOMLDecodeError as error:
        sys.stderr.write(f'Failed to parse the "{args.manifest}" file. Error: {error}\n')
        sys.exit(1)
    say(f"Building unsigned graminized Docker image `{unsigned}` from original application image")
    say(f"Step 1/2 : FROM {args.image}")
    if problem := manifest_problem(user):
        say(problem)
        fail(f"Failed to build unsigned graminized Docker image `{unsigned}`.")
    made = finished_manifest(image, user, insecure_args=args.insecure_args)
    files = {
        f"{APP_FILES}/entrypoint.manifest": tomli_w.dumps(made).encode(),
        f"{BIN}/gramine-manifest-check": b"#!/bin/sh\ntest -s $1\n",
        f"{BIN}/gramine-sgx-sign": SIGNER.encode(),
        f"{PACKAGES}/empty": b"",
    }
    entrypoint = f'ENTRYPOINT ["/bin/bash", "{APP_FILES}/apploader.sh"]'
    changes = [f"ENV PATH={BIN}:/usr/bin:/bin", entrypoint]
    make_image(client, args.image, unsigned, files, changes, rm=args.rm)
    say(f"Successfully built an unsigned graminized Docker image `{unsigned}`")


def manifest_problem(user: dict[str, Any]) -> str:
    """Say what GSC's finaliser or Gramine's check has against the manifest."""
    if "allowed_files" in user["sgx"]:
        return "NameError: name 'ManifestError' is not defined"
    if "thread_num" in user["sgx"]:
        return "error in manifest: extra keys not allowed @ data['sgx']['thread_num']"
    return ""


def info_image(args: argparse.Namespace, client: Any) -> None:
    if find(client, args.image) is None:
        fail(
            f"Could not find graminized Docker image {args.image}.\n"
            "Please make sure to build the graminized image first by using 'gsc build' command."
        )
    made = json.loads(read_file(client, args.image, f"{APP_FILES}/entrypoint.sig"))
    say(tomli_w.dumps(made))


def note_call(line: str) -> None:
    with Path("calls").open("a") as calls:
        calls.write(line + "\n")


def behave(how: str) -> None:
    """Fail as it is asked for."""
    if how == "dies":
        say("\x1b[91mcp: error writing '/x': No space left on device\x1b[0m")
        fail("Failed to build unsigned graminized Docker image `gsc-x-unsigned`.")
    elif how == "is killed":
        say("Step 4/23 : RUN make")
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "prints its error with status 0":
        say("Error: Invalid RSA key: expected key size 3072, got 2048")
        sys.exit(0)
    elif how == "does nothing":
        sys.exit(0)
    elif how == "cannot import":
        raise ModuleNotFoundError("No module named 'tomli_w'")


BEHAVIOURS = (
    *("dies", "is killed", "prints its error with status 0", "does nothing", "cannot import"),
)


def main() -> None:
    note_call(" ".join(sys.argv[1:]))
    if Path("behave").exists():
        behave(Path("behave").read_text())
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    for name, run, words in (
        ("build", build, ("image", "manifest")),
        ("info-image", info_image, ("image",)),
    ):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        for word in words:
            command.add_argument(word)
        command.add_argument("--insecure-args", action="store_true")
        command.add_argument("--rm", action="store_true")
        command.add_argument("--no-cache", action="store_true")
    args = parser.parse_args()
    client = docker.from_env()
    args.run(args, client)


if __name__ == "__main__":
    main()

"""What the stand-in for GSC makes: a manifest, a signature, images of the real daemon."""

from __future__ import annotations

import hashlib
import io
import random
import tarfile
import uuid
from pathlib import Path
from typing import Any

import docker.errors

APP_FILES = "/gramine/app_files"
FILES = (
    *("/app/pytorch_train/train.py", "/app/pytorch_common/contract.py", "/etc/passwd"),
    *("/usr/lib/python3.11/os.py", "/usr/bin/python3.11", "/usr/share/perl/strict.pm"),
    *(f"{APP_FILES}/trusted_argv", f"{APP_FILES}/apploader.sh", "/lib/libz.so.1"),
)
OF_THE_BUILD_CONTAINER = ("/etc/hosts", "/etc/hostname")

BIN = "/gramine/meson_build_output/bin"
PACKAGES = "/gramine/meson_build_output/lib/python3.11/site-packages"

SIGNER = """#!/bin/sh
# gramine-sgx-sign --key - --manifest MANIFEST --output MANIFEST --sigfile SIGFILE
set -e
key=$(cat) made=$4 signed=$6 sigfile=$8
case "$SIGNER" in
    dies) echo "cp: error writing '/x': No space left on device" >&2; exit 1 ;;
    "is killed") kill -9 $$ ;;
    "does nothing") exit 0 ;;
    waits) sleep 600 ;;
esac
test "$1 $2" = "--key -"
case "$key" in "-----BEGIN PRIVATE KEY"*"END PRIVATE KEY-----") ;; *) exit 1 ;; esac
value() { sed -n "s/^$1 = //p" "$made"; }
digest() { sha256sum | cut -c-64; }
cp "$made" "$signed"
test "$(value debug)" = true && flags=06 || flags=04
cat >"$sigfile" <<EOF
{"mr_enclave": "$(digest <"$made")", "mr_signer": "$(echo "$key" | digest)",
"isv_prod_id": $(value isvprodid), "isv_svn": $(value isvsvn), "debug": $(value debug),
"date": "2026-11-25", "flags": "${flags}00000000000000", "xfrms": "0300000000000000",
"misc_select": "00000000"}
EOF
"""
"""Stands for Gramine's signer: what it makes says whose key it was and what was signed."""


def find(client: Any, name: str) -> Any:
    try:
        return client.images.get(name)
    except (docker.errors.ImageNotFound, docker.errors.APIError):
        return None


def make_image(
    client: Any,
    base: str,
    name: str,
    files: dict[str, bytes],
    changes: list[str] | None = None,
    *,
    rm: bool,
) -> None:
    """Make an image of another one and files on top of it: what a build of GSC comes to.

    Without ``rm`` the container that it was made in stays, as the daemon leaves it then.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, data in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(data), 0o755
            tar.addfile(entry, io.BytesIO(data))
    container = client.api.create_container(base, command=["none"])["Id"]
    try:
        client.api.put_archive(container, "/", buffer.getvalue())
        repository, _, tag = name.partition(":")
        config = client.api.inspect_image(base)["Config"]
        client.api.commit(container, repository, tag or "latest", changes=changes, conf=config)
    finally:
        if rm:
            client.api.remove_container(container, force=True)


def read_file(client: Any, image: str, path: str) -> bytes:
    container = client.api.create_container(image, command=["none"])["Id"]
    try:
        stream, _ = client.api.get_archive(container, path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
            member = tar.extractfile(Path(path).name)
            assert member is not None
            return member.read()
    except docker.errors.NotFound:
        raise FileNotFoundError(2, "No such file or directory", path) from None
    finally:
        client.api.remove_container(container, force=True)


def finished_manifest(image: Any, user: dict[str, Any], *, insecure_args: bool) -> dict[str, Any]:
    """Return what GSC's finaliser leaves: another one in every build, as measured."""
    variables = dict(entry.split("=", 1) for entry in image.attrs["Config"].get("Env") or [])
    trusted = [
        {"uri": f"file:{path}", "sha256": digest(f"{image.id} {path}")} for path in FILES
    ] + [
        {"uri": f"file:{path}", "sha256": digest(uuid.uuid4().hex)}
        for path in OF_THE_BUILD_CONTAINER
    ]
    random.shuffle(trusted)
    loader: dict[str, Any] = {"log_level": "error", "env": variables}
    if insecure_args:
        loader["insecure__use_cmdline_argv"] = True
    else:
        loader["argv_src_file"] = f"file:{APP_FILES}/trusted_argv"
    loader.update(user.get("loader", {}))
    root = {"type": "chroot", "uri": "file:/"}
    sgx = {**user["sgx"], "debug": user["sgx"].get("debug", False), "trusted_files": trusted}
    return {"sgx": sgx, "loader": loader, "fs": {"mounts": [], "root": root}}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

"""Each failure of GSC becomes a line: what, expected and got, next command."""

from __future__ import annotations

import pytest

from workflow.gsc import failures

KEY = "give --key an RSA key of 3072 bits with exponent 3: openssl genrsa -3 -out KEY 3072"
BUILT = "Failed to build unsigned graminized Docker image `gsc-x-unsigned`."
SIGNED = "Failed to build a signed graminized Docker image `gsc-x`."
TRACEBACK = "Traceback (most recent call last):"

FAILURES: list[tuple[list[str], str]] = [
    (
        ["Cannot find original application Docker image `x`."],
        "Cannot find original application Docker image x; run: inv build",
    ),
    (
        [
            "Cannot find unsigned graminized Docker image `gsc-x-unsigned`.",
            "You must first build this image via `gsc build` command.",
        ],
        "Cannot find unsigned graminized Docker image gsc-x-unsigned; run: inv gsc-build",
    ),
    (
        [
            "Could not find graminized Docker image gsc-x.",
            "Please make sure to build the graminized image first by using 'gsc build' command.",
        ],
        "Could not find graminized Docker image gsc-x; run: inv gsc-build, then: inv sign",
    ),
    (
        [TRACEBACK, "FileNotFoundError: [Errno 2] No such file: '/tmp/tmpx1/entrypoint.sig'"],
        "FileNotFoundError: [Errno 2] No such file: '/tmp/tmpx1/entrypoint.sig'; "
        "the image is not signed: inv sign",
    ),
    (
        ["Error: Invalid RSA key: expected key size 3072, got 2048", SIGNED],
        f"Invalid RSA key: expected key size 3072, got 2048; {KEY}",
    ),
    (
        ["Error: Invalid RSA key: expected exponent 3, got 65537", SIGNED],
        f"Invalid RSA key: expected exponent 3, got 65537; {KEY}",
    ),
    (
        [
            "Error: Invalid key: expected RSA private key, found _EllipticCurvePrivateKey instance",
            SIGNED,
        ],
        "Invalid key: expected RSA private key, found _EllipticCurvePrivateKey instance; " + KEY,
    ),
    (
        ['Manifest file "/p/manifests/x.manifest" does not exist.'],
        'Manifest file "/p/manifests/x.manifest" does not exist; '
        "it belongs to the project: git checkout manifests",
    ),
    (
        ['Failed to parse the "/p/x.manifest" file. Error: Invalid value (at line 3, column 9)'],
        'Failed to parse the "/p/x.manifest" file. Error: Invalid value (at line 3, column 9); '
        "mend the TOML of that manifest",
    ),
    (
        ["error in manifest: extra keys not allowed @ data['sgx']['thread_num']", BUILT],
        "error in manifest: extra keys not allowed @ data['sgx']['thread_num']; "
        "mend the manifests; Gramine's documentation names its keys",
    ),
    (
        [TRACEBACK, "NameError: name 'ManifestError' is not defined", BUILT],
        "name 'ManifestError' is not defined; GSC takes allowed files for trusted ones: put them "
        "into manifests/finish.toml, not into a manifest that GSC is given",
    ),
    (
        [TRACEBACK, "IsADirectoryError: [Errno 21] Is a directory: '/out'", BUILT],
        "IsADirectoryError: [Errno 21] Is a directory: '/out'; GSC takes allowed folders for "
        "trusted files: put them into manifests/finish.toml, not into a manifest that GSC is given",
    ),
    (
        ["`ubuntu` distro is not supported by GSC."],
        "ubuntu distro is not supported by GSC; inv gsc-setup writes one that is",
    ),
    (
        ["Missing `Gramine` section in the config file."],
        "Missing Gramine section in the config file; run: inv gsc-setup",
    ),
    (
        ["Cannot find base-Gramine Docker image `mine:1`."],
        "Cannot find base-Gramine Docker image mine:1; "
        "inv gsc-setup --gramine-image NAME, or without",
    ),
    (
        [
            TRACEBACK,
            "docker.errors.DockerException: Error while fetching server API version: "
            "('Connection aborted.', FileNotFoundError(2, 'No such file or directory'))",
        ],
        "DockerException: Error while fetching server API version: ('Connection aborted.', "
        "FileNotFoundError(2, 'No such file or directory')); start the Docker daemon: inv doctor",
    ),
    (
        [TRACEBACK, "ModuleNotFoundError: No module named 'tomli_w'"],
        "ModuleNotFoundError: No module named 'tomli_w'; GSC needs it: ./inv installs it",
    ),
    (
        ["E: Failed to fetch http://x  Temporary failure resolving 'mirror.example'", BUILT],
        "Temporary failure resolving 'mirror.example'; the build found no network",
    ),
    (
        ["cp: error writing '/x': No space left on device", BUILT],
        "No space left on device; free some disk; docker system df shows what Docker has",
    ),
    (
        ["Step 4/23 : RUN make", BUILT],
        "Failed to build unsigned graminized Docker image gsc-x-unsigned; the lines above say why",
    ),
    (
        ["Step 6/9 : RUN gramine-sgx-sign", SIGNED],
        "Failed to build a signed graminized Docker image gsc-x; the lines above say why",
    ),
    (
        ["Cannot find unsigned graphenized Docker image `gsc-x-unsigned`."],
        "Cannot find unsigned graphenized Docker image gsc-x-unsigned; run: inv gsc-build",
    ),
    (
        ["Failed to build unsigned graphenized docker image `gsc-x-unsigned`."],
        "Failed to build unsigned graphenized docker image gsc-x-unsigned; the lines above say why",
    ),
    (["something new", ""], "something new; the lines above say more"),
    ([], "it printed nothing; the lines above say more"),
]


@pytest.mark.parametrize(("lines", "said"), FAILURES)
def test_every_known_failure_is_one_line_with_what_to_do(lines: list[str], said: str) -> None:
    assert failures.failure(lines) == said
    assert "\n" not in said
    assert "`" not in said


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("Final graminized image `gsc-x` already exists.", True),
        ("Final graphenized image `gsc-x` already exists.", True),
        ("Base-Gramine Docker image `x` already exists.", False),
        ("Successfully built an unsigned graminized Docker image `gsc-x-unsigned`", False),
    ],
)
def test_an_old_image_that_gsc_kept_is_noticed(line: str, kept: bool) -> None:
    assert failures.is_already_there(["Step 1/2 : FROM x", line]) is kept


def test_a_kept_image_says_why() -> None:
    said = failures.failure(["Final graminized image `gsc-x` already exists."])
    assert said.startswith("Final graminized image gsc-x already exists; GSC keeps")

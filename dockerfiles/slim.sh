#!/bin/sh
# Make an image ready for an enclave: nothing that it never reads, compiled Python, a plain user.
# Every file left becomes a trusted file, and Gramine's start-up grows with the square of their number.
#   sh slim.sh PYTHON_FOLDER...
set -eu

rm -rf /usr/share/doc /usr/share/man /usr/share/info /usr/share/locale /usr/share/i18n \
    /usr/share/lintian /usr/share/bug /usr/include /usr/share/pixmaps /usr/share/applications
# A symbolic link to its own folder: GSC follows it and lists every program twice.
rm -f /usr/bin/X11

for folder in "$@"; do
    # Headers, sources for compiling extensions, and tests. torch.testing and numpy.testing stay:
    # torch imports the one, and scientific packages the other.
    find "$folder" -depth -type d \( -name tests -o -name test -o -name include -o -name benchmarks \) \
        -path '*-packages/*' -exec rm -rf {} +
    find "$folder" -type f \( -name '*.pyi' -o -name '*.a' -o -name '*.h' -o -name '*.cpp' \) -delete
    find "$folder" -depth -type d -name __pycache__ -exec rm -rf {} +
    # Inside Gramine every host file has the modification time 0: compiled files hold by content.
    # -B -f: what compileall itself imports would be compiled before, with a time. The seed: before
    # Python 3.11 the order of a set's constants in a compiled file goes by it.
    PYTHONHASHSEED=0 python3 -B -m compileall -q -f --invalidation-mode unchecked-hash "$folder" || true
done

# The date of a new password would stand in /etc/shadow.
SOURCE_DATE_EPOCH=0 useradd --uid 10001 --user-group --no-create-home --home-dir /app --shell /usr/sbin/nologin app
mkdir -p /app

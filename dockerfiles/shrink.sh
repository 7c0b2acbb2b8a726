#!/bin/sh
# Delete from a shielded image what its enclave never opens: the libraries and the Python that lie in
# its pack, what nothing uses, and the tools that signed it. What is measured stays as it is.
set -eu

manifest=/gramine/app_files/entrypoint.manifest
# What starts Gramine, and what `gsc info-image` runs.
programs="bash sh env find cp cat /gramine/meson_build_output/lib/x86_64-linux-gnu/gramine/*/loader"

kept=$(mktemp) found=$(mktemp)
{
    sed -n 's/.*uri = "file:\([^"]*\)".*/\1/p' "$manifest"
    # Python looks for the source of what it has compiled, and by this one for its own folder.
    sed -n 's#.*uri = "file:\([^"]*\)/__pycache__/\([^"]*\)\.cpython-[0-9]*\.pyc".*#\1/\2.py#p' "$manifest"
    ls /usr/lib/python3*/os.py
    for program in $programs; do
        ldd "$(command -v "$program")" 2>/dev/null | grep -o '/[^ ]*' || true
    done
} | while read -r path; do realpath -e "$path" 2>/dev/null || true; done | sort -u >"$kept"

{
    find /usr/lib/python3* /usr/local/lib/python3* /gramine/meson_build_output/lib/python3* \
        /usr/share /usr/include /var/lib/apt /var/cache /var/log -type f 2>/dev/null || true
    find /usr/lib /usr/local/lib -type f -name '*.so*'
} | sort -u | comm -23 - "$kept" | tr '\n' '\0' | xargs -0 rm -f
rm -rf /tmp/*

#!/bin/sh
# Install Debian packages as they were at one moment, and write down which ones there are.
#   sh apt.sh STAMP PACKAGE...
# STAMP is a moment of snapshot.debian.org, as 20260824T000000Z. Without one (an empty word) the
# image's own sources stand. They stay in the image, so that GSC installs from the same moment.
set -eu
etc=${ETC_APT:-/etc/apt}
list=${PACKAGE_LIST:-/usr/local/share/enclave-finetune-packages}
stamp=$1
shift

if [ -n "$stamp" ]; then
    case $stamp in
        [0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]T[0-9][0-9][0-9][0-9][0-9][0-9]Z) ;;
        *) echo "apt.sh: expected a moment as 20260824T000000Z, got $stamp" >&2; exit 1 ;;
    esac
    hint="apt.sh: not the packages of $stamp; INVOKE_IMAGE_SNAPSHOT=none takes those of today"
    trap 'test $? -eq 0 || echo "$hint" >&2' EXIT
    rm -rf "$etc/sources.list" "$etc/sources.list.d"
    mkdir -p "$etc/sources.list.d"
    # Debian's signature holds, its date does not: a list of that moment is out of date by now.
    for archive in "debian bookworm bookworm-updates" "debian-security bookworm-security"; do
        cat <<EOF
Types: deb
URIs: http://snapshot.debian.org/archive/${archive%% *}/$stamp
Suites: ${archive#* }
Components: main
Check-Valid-Until: no
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

EOF
    done > "$etc/sources.list.d/debian.sources"
fi
# What apt cannot read would only show where it is asked for packages.
apt-get indextargets > /dev/null

apt-get -o Acquire::Retries=3 update
DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=3 install -y --no-install-recommends "$@"

# Name, version, architecture, and the SHA-256 of the package's file where the sources have it.
apt-cache dumpavail | awk '/^Package: /{p=$2} /^Version: /{v=$2} /^Architecture: /{a=$2}
    /^SHA256: /{print p, v, a, $2}' > "$list.available"
dpkg-query -W -f '${Package} ${Version} ${Architecture}\n' | LC_ALL=C sort \
    | awk -v from="$list.available" '
        BEGIN {while ((getline line < from) > 0) {split(line, f, " "); d[f[1]" "f[2]" "f[3]] = f[4]}}
        {print $0, ($0 in d ? d[$0] : "-")}' > "$list"
rm "$list.available"

apt-get clean
rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/*

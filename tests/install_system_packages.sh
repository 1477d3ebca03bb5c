#!/usr/bin/env bash
# Install the Debian packages of system_packages.txt that are missing, when root; else name them.
set -euo pipefail
here=$(dirname "$0")
PATH=$PATH:/usr/sbin:/sbin
missing=()
while read -r command package; do
    case "$command" in
        ''|'#'*) continue ;;
        *.so.*) ldconfig -p | grep -q "$command" || missing+=("$package") ;;
        *) command -v "$command" >/dev/null || missing+=("$package") ;;
    esac
done < "$here/system_packages.txt"
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "installing: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # Daemons that come along are not started.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
        chmod +x /usr/sbin/policy-rc.d
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    apt-get -qq update
    apt-get -qq install -y --no-install-recommends "${missing[@]}" > /dev/null
else
    echo "missing Debian packages: ${missing[*]}" >&2
    echo "install them with: sudo apt-get install ${missing[*]}" >&2
    [ -z "${CI:-}" ] || exit 1
fi

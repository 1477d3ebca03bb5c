#!/usr/bin/env bash
# Install the Debian packages of system_packages.txt that are missing, when root; else name them.
# One that cannot stand beside another of the list (third column "unpack") is unpacked into .venv/unpacked instead.
set -euo pipefail
here=$(dirname "$0")
PATH=$PATH:/usr/sbin:/sbin
unpacked=$here/../.venv/unpacked
missing=()
apart=()
while read -r command package how; do
    if [ "${how:-}" = unpack ]; then
        command -v "$command" >/dev/null || [ -e "$unpacked/usr/sbin/$command" ] || apart+=("$package")
        continue
    fi
    case "$command" in
        ''|'#'*) continue ;;
        /*) [ -e "$command" ] || missing+=("$package") ;;
        *.so.*) ldconfig -p | grep -q "$command" || missing+=("$package") ;;
        *) command -v "$command" >/dev/null || missing+=("$package") ;;
    esac
done < "$here/system_packages.txt"
if [ ${#missing[@]} -eq 0 ]; then
    :
elif [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
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
if [ ${#apart[@]} -gt 0 ] && command -v apt-get >/dev/null; then
    echo "unpacking: ${apart[*]}"
    mkdir -p "$unpacked"
    unpacked=$(cd "$unpacked" && pwd)
    folder=$(mktemp -d)
    (cd "$folder" && { apt-get -qq download "${apart[@]}" 2>/dev/null || { apt-get -qq update && apt-get -qq download "${apart[@]}"; }; } && for file in *.deb; do dpkg -x "$file" "$unpacked"; done) \
        || echo "missing Debian packages: ${apart[*]}" >&2
    rm -rf "$folder"
fi

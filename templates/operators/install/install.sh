{% autoescape off %}#!/bin/sh
# Installs the Meshwork node agent (the command `mesh`) of the network {{ network }} for the user who runs it.
# It needs no root, changes nothing outside your home, and can be run again.
#
#   sh install.sh                                    install
#   sh install.sh --token mwt_... --name my-host     install, then join the network with a token from the site
#
# It fetches one wheel from {{ site }}, checks its SHA-256, and has uv, else pipx, else Python's own venv install it;
# that tool fetches what the wheel depends on from its package index. Exit codes: 1 failed, 2 usage, 6 something is missing.
set -eu

SITE="{{ site }}"
WHEEL="{{ wheel.name }}"
SHA256="{{ wheel.sha256 }}"
TOKEN=""
NAME=""

say() { printf '%s\n' "$*" >&2; }
fail() { say "install.sh: $1"; exit "$2"; }
have() { command -v "$1" >/dev/null 2>&1; }

while [ $# -gt 0 ]; do
    case "$1" in
        --token) [ $# -ge 2 ] || fail "--token needs a value" 2; TOKEN="$2"; shift 2 ;;
        --name) [ $# -ge 2 ] || fail "--name needs a value" 2; NAME="$2"; shift 2 ;;
        *) fail "unknown option $1 (there are --token and --name)" 2 ;;
    esac
done

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

fetch() {
    if have curl; then curl -fsSL -o "$2" "$1"
    elif have wget; then wget -q -O "$2" "$1"
    else fail "curl or wget is needed" 6; fi
}

sum_of() {
    if have sha256sum; then sha256sum "$1" | cut -d ' ' -f 1
    elif have shasum; then shasum -a 256 "$1" | cut -d ' ' -f 1
    else fail "sha256sum or shasum is needed" 6; fi
}

say "Fetching $SITE/install/$WHEEL"
fetch "$SITE/install/$WHEEL" "$folder/$WHEEL" || fail "the wheel could not be fetched" 1
[ "$(sum_of "$folder/$WHEEL")" = "$SHA256" ] || fail "the wheel does not have the SHA-256 that this script names; fetch the script again" 1
say "SHA-256 $SHA256"

if have uv; then
    say "Installing with uv"
    uv tool install --force "$folder/$WHEEL"
    bin="$(uv tool dir --bin)"
elif have pipx; then
    say "Installing with pipx"
    pipx install --force "$folder/$WHEEL"
    bin="$(pipx environment --value PIPX_BIN_DIR)"
elif have python3 && python3 -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))'; then
    say "Installing with python3 -m venv"
    python3 -m venv "$HOME/.local/share/meshwork"
    "$HOME/.local/share/meshwork/bin/pip" install --quiet --upgrade "$folder/$WHEEL"
    bin="$HOME/.local/bin"
    mkdir -p "$bin"
    ln -sf "$HOME/.local/share/meshwork/bin/mesh" "$bin/mesh"
else
    fail "uv, pipx, or Python 3.11 or newer with venv is needed; uv: https://docs.astral.sh/uv/" 6
fi

"$bin/mesh" --version
case ":$PATH:" in *":$bin:"*) ;; *) say "Add $bin to your PATH." ;; esac
if [ -n "$TOKEN" ]; then
    if [ -n "$NAME" ]; then "$bin/mesh" node join "$SITE" --token "$TOKEN" --name "$NAME"
    else "$bin/mesh" node join "$SITE" --token "$TOKEN"; fi
    say "Start it: mesh node run --health 127.0.0.1:{{ health_port }}"
else
    say "Next: mesh node probe, then register the machine at $SITE/nodes/register"
fi
{% endautoescape %}

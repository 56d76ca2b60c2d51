#!/bin/sh
# Pin the dependencies that pyproject.toml names, with hashes: requirements.lock for running ctl,
# tests/requirements.lock for running and testing it.  Give --upgrade to move to newer versions.
set -eu
cd "$(dirname "$(readlink -f "$0")")/.."
tools=$(mktemp -d)
trap 'rm -rf "$tools" ./*.egg-info' EXIT
/usr/bin/python3 -m venv "$tools"
"$tools/bin/pip" install --quiet pip-tools

pin() { # FILE ARG...
	file=$1
	shift
	"$tools/bin/pip-compile" --quiet "$@" --generate-hashes --allow-unsafe --strip-extras --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file "$file" pyproject.toml
	sed -i '/^# The following/d; /^$/d' "$file"
	sed -i '1i # Made from pyproject.toml by tests/relock.sh; installed by setup.' "$file"
}
pin requirements.lock "$@"
pin tests/requirements.lock --extra dev --constraint requirements.lock "$@"

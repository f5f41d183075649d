#!/usr/bin/env bash
# Installs into the image's virtual environment, in the versions that Morgan is tested with: install.sh REQUIREMENT...
# With the build secrets `pip_conf` and `ca`, from a package index of yours.
set -euo pipefail

[ ! -e /run/secrets/pip_conf ] || export PIP_CONFIG_FILE=/run/secrets/pip_conf
[ ! -e /run/secrets/ca ] || export PIP_CERT=/run/secrets/ca
/opt/morgan/bin/python -m pip --disable-pip-version-check --no-cache-dir \
    install --constraint constraints.txt --report archives.json "$@"
exec /opt/morgan/bin/python -I check-hashes hashes.txt archives.json

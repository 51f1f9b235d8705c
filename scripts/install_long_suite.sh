#!/usr/bin/env bash
# Installs what the long suite needs beyond Python packages, on Debian and its relatives, as root.
set -euo pipefail
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core espeak-ng

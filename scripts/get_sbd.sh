#!/bin/sh
# scripts/get_sbd.sh [FOLDER]: SBD's masks, to FOLDER/SBD; data/voc12 by default.
here=$(dirname "$0")
exec "$here/download" "${1:-$here/../data/voc12}" benchmark.tgz

#!/bin/sh
# scripts/get_saliency.sh [FOLDER]: saliency maps, to FOLDER/saliency, if sources.yaml knows any; data/voc12 by default.
here=$(dirname "$0")
exec "$here/download" "${1:-$here/../data/voc12}" --optional saliency.tar

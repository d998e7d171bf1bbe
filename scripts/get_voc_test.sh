#!/bin/sh
# scripts/get_voc_test.sh [FOLDER]: test images, for `make submission`, to FOLDER/VOC2012test; data/voc12 by default.
here=$(dirname "$0")
exec "$here/download" "${1:-$here/../data/voc12}" VOC2012test.tar

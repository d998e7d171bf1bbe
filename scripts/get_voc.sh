#!/bin/sh
# scripts/get_voc.sh [FOLDER]: VOC 2012, training and validation images, to FOLDER/VOC2012; data/voc12 by default.
here=$(dirname "$0")
exec "$here/download" "${1:-$here/../data/voc12}" VOCtrainval_11-May-2012.tar

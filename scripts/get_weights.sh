#!/bin/sh
# scripts/get_weights.sh [FOLDER [NAME...]]: caffemodels to FOLDER; weights, and VGG-16's and SqueezeNet's, by default.
folder=${1:-$(dirname "$0")/../weights}
[ $# = 0 ] || shift
[ $# != 0 ] || set -- VGG_ILSVRC_16_layers.caffemodel squeezenet_v1.0.caffemodel
exec "$(dirname "$0")/download" "$folder" -- "$@"

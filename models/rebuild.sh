#!/bin/sh
# Rebuild the models that ship with flukeprint, `measured` and `default`. Needs the extra flukeprint[train], a labelled
# collection DATA with boxes.csv and not_flukes beside its photos, and a folder of unlabelled ones.
#
#     sh models/rebuild.sh DATA UNLABELLED OUT
#
# It can be cut at any time and run again. See docs/models.md for hours and scores.
set -eu
[ $# -eq 3 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
data=$1 unlabelled=$2 out=$3
here=$(dirname "$0")

flukeprint train "$data" --out "$out/first"
[ -e "$out/first.fluke" ] || flukeprint export "$out/first" --out "$out/first.fluke"
flukeprint train "$data" --out "$out/second" --config "$here/second_round.toml" \
    --weights "$out/first/weights.safetensors" \
    --set "teacher=$out/first.fluke" --set "unlabelled=$unlabelled"
[ -e "$out/second.fluke" ] || flukeprint export "$out/second" --out "$out/second.fluke"
flukeprint train "$data" --out "$out/third" --config "$here/second_round.toml" --set epochs=50 \
    --weights "$out/second/weights.safetensors" \
    --set "teacher=$out/second.fluke" --set "unlabelled=$unlabelled"
[ -e "$out/third.fluke" ] || flukeprint export "$out/third" --out "$out/third.fluke"

# The fourth round takes no weights over: it begins by chance, on small crops, and only the names that
# the third round is sure of come from before. The fifth begins where the small crops ended, too, with
# the names that the fourth is sure of.
anew() {
    teacher=$1
    shift
    flukeprint train "$data" --set backbone=resnet18d --set "teacher=$teacher" \
        --set "unlabelled=$unlabelled" "$@"
}
anew "$out/third.fluke" --out "$out/small" --set epochs=32 --set height_px=64 --set width_px=64 \
    --set early_share=0 --set validate_every=16
anew "$out/third.fluke" --out "$out/fourth" --config "$here/second_round.toml" --set epochs=50 \
    --weights "$out/small/weights.safetensors"
[ -e "$out/fourth.fluke" ] || flukeprint export "$out/fourth" --out "$out/fourth.fluke"
anew "$out/fourth.fluke" --out "$out/fifth" --config "$here/second_round.toml" --set epochs=60 \
    --weights "$out/small/weights.safetensors"
[ -e "$out/fifth.fluke" ] || flukeprint export "$out/fifth" --out "$out/fifth.fluke"

# The sixth begins there once more, with the names that the fifth is sure of. Side by side the two are
# the teacher of the seventh, which begins by chance, and learns to embed as they do, too.
anew "$out/fifth.fluke" --out "$out/sixth" --config "$here/second_round.toml" --set epochs=60 \
    --weights "$out/small/weights.safetensors"
[ -e "$out/teachers.fluke" ] ||
    flukeprint export "$out/fifth" "$out/sixth" --out "$out/teachers.fluke"
anew "$out/teachers.fluke" --out "$out/small-distilled" --set distil_weight=10 --set epochs=24 \
    --set height_px=64 --set width_px=64 --set early_share=0 --set validate_every=12
anew "$out/teachers.fluke" --out "$out/seventh" --config "$here/second_round.toml" \
    --set distil_weight=10 --set epochs=36 --set validate_every=6 \
    --weights "$out/small-distilled/weights.safetensors"

# The three side by side are the teacher of the eighth, which is made as the seventh was.
[ -e "$out/three.fluke" ] ||
    flukeprint export "$out/fifth" "$out/sixth" "$out/seventh" --out "$out/three.fluke"
anew "$out/three.fluke" --out "$out/small-of-three" --set distil_weight=10 --set epochs=24 \
    --set height_px=64 --set width_px=64 --set early_share=0 --set validate_every=12
anew "$out/three.fluke" --out "$out/eighth" --config "$here/second_round.toml" \
    --set distil_weight=10 --set epochs=40 --set validate_every=8 \
    --weights "$out/small-of-three/weights.safetensors"
[ -e "$out/measured.fluke" ] || flukeprint export "$out/eighth" --out "$out/measured.fluke"

# The ninth is the eighth once more, when all choices are made: it keeps no photo back, and believes as the eighth does.
anew "$out/three.fluke" --out "$out/ninth" --config "$here/second_round.toml" \
    --set protocol=everything --set distil_weight=10 --set epochs=40 --set validate_every=8 \
    --weights "$out/small-of-three/weights.safetensors" --finder "$out/eighth/localiser.safetensors"
[ -e "$out/default.fluke" ] ||
    flukeprint export "$out/ninth" --out "$out/default.fluke" --calibration "$out/measured.fluke"

#!/bin/sh
# lists.sh: what publishers' downloads become: made-up sets in their layouts, through the list makers and
# the .data files of cfg/, to a net that learns from them.
. "$(dirname "$0")/check.sh"

bmp() { # an image of 8 x 8 pixels, whatever its name says
    {
        printf 'BM\366\000\000\000\000\000\000\000\066\000\000\000\050\000\000\000\010\000\000\000\010\000\000\000\001\000\030\000'
        printf '\000\000\000\000\300\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000'
        awk 'BEGIN { for (i = 0; i < 192; i++) printf "%c", 33 + i % 90 }'
    } >"$T/bmp"
    mkdir -p "$(dirname "$1")"
    mv "$T/bmp" "$1"
}

# learns SET CLASSES: a net of CLASSES classes trains on cfg/SET.data, whose data/ is $T/data/
learns() {
    sed -e "s|data/|$T/data/|" -e "s|^classes.*|classes = $2|" -e "s|^backup.*|backup = $T/backup|" -e '/^top/d' "cfg/$1.data" >"$T/$1.data"
    printf '[net]\nbatch=2\nwidth=8\nheight=8\nepochs=1\n[avgpool]\n[connected]\noutput=%d\nactivation=linear\n[softmax]\n' "$2" >"$T/net.cfg"
    run classifier train "$T/$1.data" "$T/net.cfg" -threads 1
    holds "a net learns from cfg/$1.data: $(grep '^automix' "$T/err")" [ "$status" -eq 0 ]
}
refuses() { # refuses REGEX COMMAND...
    want=$1
    shift
    if "$@" >"$T/out" 2>&1; then bad "accepted: $*"
    elif grep -qE "$want" "$T/out"; then good
    else bad "says something other than '$want': $*"; cat "$T/out"; fi
}
lines() { cat "$1" 2>/dev/null | tr '\n' '|'; }

# ---- Tiny-ImageNet ----
D=$T/data/tiny-imagenet-200
for w in n02 n01; do for i in 0 1; do bmp "$D/train/$w/images/${w}_$i.JPEG"; done; done
for i in 0 1 2; do bmp "$D/val/images/val_$i.JPEG"; done
printf 'val_0.JPEG\tn02\t0\t0\t7\t7\nval_1.JPEG\tn01\t0\t0\t7\t7\nval_2.JPEG\tn01\t0\t0\t7\t7\n' >"$D/val/val_annotations.txt"
printf 'n02\nn01\n' >"$D/wnids.txt"
printf 'n01\tgoldfish, Carassius auratus\nn05\treel\nn02\tvolleyball\n' >"$D/words.txt"
holds "Tiny-ImageNet's list maker" scripts/list_tiny_imagenet.sh "$D"
holds "names come in the order of the folders" [ "$(lines "$D/names.txt")" = "goldfish, Carassius auratus|volleyball|" ]
learns tiny 2
holds "three images are validated" grep -q 'top-1 \(0\|33\.33\|66\.67\|100\)' "$T/err" "$T/out"
refuses 'lacks train/ or words.txt' scripts/list_tiny_imagenet.sh "$T"

# ---- CUB-200-2011 ----
D=$T/data/CUB_200_2011
mkdir -p "$D"
: >"$D/images.txt"
n=0
for c in 001.Black_footed_Albatross 002.Laysan_Albatross; do
    for i in 1 2 3; do
        n=$((n + 1))
        bmp "$D/images/$c/Albatross_000${i}_$n.jpg"
        echo "$n $c/Albatross_000${i}_$n.jpg" >>"$D/images.txt"
    done
done
printf '1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n' >"$D/classes.txt"
printf '1 1\n2 1\n3 1\n4 2\n5 2\n6 2\n' >"$D/image_class_labels.txt"
printf '1 0\n2 1\n3 1\n4 1\n5 0\n6 1\n' >"$D/train_test_split.txt"
holds "CUB's list maker" scripts/list_cub200.sh "$D"
holds "four images to train with" [ "$(wc -l <"$D/train.list")" -eq 4 ]
holds "and two to test with" [ "$(sed "s|$T/||" "$D/test.list" | tr '\n' ' ')" = "data/CUB_200_2011/images/001.Black_footed_Albatross/Albatross_0001_1.jpg data/CUB_200_2011/images/002.Laysan_Albatross/Albatross_0002_5.jpg " ]
learns cub 2
mkdir -p "$T/cub"
cp "$D"/*.txt "$T/cub"
sed -i 's/^4 2$/4 1/' "$T/cub/image_class_labels.txt"
refuses 'not in the folder of its class' scripts/list_cub200.sh "$T/cub"
sed '3d' "$D/train_test_split.txt" >"$T/cub/train_test_split.txt"
cp "$D/image_class_labels.txt" "$T/cub"
refuses 'image 3 has no class or no split' scripts/list_cub200.sh "$T/cub"
rm "$T/cub/classes.txt"
refuses 'lacks classes.txt' scripts/list_cub200.sh "$T/cub"

# ---- fetching: the archive is there already, so that no network is needed ----
mkdir -p "$T/tree/data" "$T/pack"
cp -r scripts "$T/tree"
cp -r "$D" "$T/pack"
rm "$T/pack/CUB_200_2011/"*.list "$T/pack/CUB_200_2011/labels.txt"
echo 1 0 0 8 8 >"$T/pack/CUB_200_2011/bounding_boxes.txt"
tar -czf "$T/tree/data/CUB_200_2011.tgz" -C "$T/pack" CUB_200_2011
refuses "is damaged" "$T/tree/scripts/get_cub200.sh"
sed -i "s/^md5=.*/md5=$(md5sum <"$T/tree/data/CUB_200_2011.tgz" | cut -c 1-32)/" "$T/tree/scripts/get_cub200.sh"
holds "an archive is unpacked and its lists are written" "$T/tree/scripts/get_cub200.sh"
holds "with paths from where automix runs" grep -q "^data/CUB_200_2011/images/001" "$T/tree/data/CUB_200_2011/train.list"
holds "what is there is left alone" "$T/tree/scripts/get_cub200.sh"

# ---- FGVC-Aircraft ----
D=$T/data/fgvc-aircraft-2013b
for i in 0034309 0034310 1025794 1340192 0056978; do bmp "$D/data/images/$i.jpg"; done
printf '0034309 F/A-18\n1025794 Cessna 172\n0056978 F/A-18\n' >"$D/data/images_variant_trainval.txt"
printf '0034310 F/A-18\n1340192 Cessna 172\n' >"$D/data/images_variant_test.txt"
holds "Aircraft's list maker" scripts/list_aircraft.sh "$D"
holds "a second time too" scripts/list_aircraft.sh "$D"
holds "images are sorted by variant" [ "$(cd "$D" && ls trainval/F_A-18 test/Cessna_172 | tr '\n' ' ')" = "test/Cessna_172: 1340192.jpg  trainval/F_A-18: 0034309.jpg 0056978.jpg " ]
learns aircraft 2
echo '7777777 F/A-18' >>"$D/data/images_variant_test.txt"
refuses 'images_variant_test.txt:3: images/7777777.jpg is not there' scripts/list_aircraft.sh "$D"

# ---- ImageNet ----
D=$T/data/imagenet
for w in n01440764 n01443537; do for i in 1 2; do bmp "$D/train/$w/${w}_$i.JPEG"; done; done
heap() { rm -rf "$D/val"; for i in 1 2 3; do bmp "$D/val/ILSVRC2012_val_0000000$i.JPEG"; done; }
sorted="val/n01440764/ILSVRC2012_val_00000002.JPEG val/n01443537/ILSVRC2012_val_00000001.JPEG val/n01443537/ILSVRC2012_val_00000003.JPEG "
is_sorted() { [ "$(cd "$D" && find val -type f | sort | tr '\n' ' ')" = "$sorted" ]; }
mkdir -p "$T/boxes/val"
i=0
for w in n01443537 n01440764 n01443537; do
    i=$((i + 1))
    printf '<annotation>\n\t<object>\n\t\t<name>%s</name>\n\t</object>\n\t<object>\n\t\t<name>n99</name>\n\t</object>\n</annotation>\n' $w >"$T/boxes/val/ILSVRC2012_val_0000000$i.xml"
done
printf 'ImageId,PredictionString\r\nILSVRC2012_val_00000002,n01440764 1 2 3 4 \r\nILSVRC2012_val_00000001,n01443537 1 2 3 4 n01443537 5 6 7 8 \r\nILSVRC2012_val_00000003,n01443537 1 2 3 4 \r\n' >"$T/LOC_val_solution.csv"
printf 'ILSVRC2012_val_00000001.JPEG n01443537\nILSVRC2012_val_00000002.JPEG n01440764\nILSVRC2012_val_00000003.JPEG n01443537\n' >"$T/val.txt"
for labels in boxes LOC_val_solution.csv val.txt; do
    heap
    holds "ImageNet's list maker reads $labels" scripts/list_imagenet.sh "$D/val" "$T/$labels"
    holds "images are sorted by class, from $labels" is_sorted
done
mv "$D/val/n01443537/ILSVRC2012_val_00000003.JPEG" "$D/val"
holds "what was cut goes on" scripts/list_imagenet.sh "$D/val" "$T/val.txt"
holds "and ends sorted" is_sorted
learns imagenet 2
heap
sed '3d' "$T/val.txt" >"$T/short.txt"
refuses 'does not say the class of .*00000003' scripts/list_imagenet.sh "$D/val" "$T/short.txt"
rm "$D/val/n01440764/ILSVRC2012_val_00000002.JPEG"
refuses 'lacks ILSVRC2012_val_00000002.JPEG' scripts/list_imagenet.sh "$D/val" "$T/val.txt"
refuses 'says no classes' scripts/list_imagenet.sh "$D/val" README.md
finish

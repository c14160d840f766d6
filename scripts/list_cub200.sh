#!/bin/sh
# list_cub200.sh FOLDER [NAME]: writes train.list, test.list and labels.txt of CUB-200-2011 into FOLDER,
# from its images.txt, train_test_split.txt and classes.txt.  Paths begin with NAME (FOLDER).
set -eu
die() { echo "list_cub200.sh: $*" >&2; exit 1; }

[ $# -ge 1 ] && [ $# -le 2 ] || die "name the folder that holds images.txt"
folder=$1 name=${2-$1}
for f in images.txt classes.txt train_test_split.txt image_class_labels.txt; do
    [ -f "$folder/$f" ] || die "$folder lacks $f; unpack the set again"
done

# ID PATH, ID CLASS and ID 0|1, one image a line; the class must be that of the path's folder.
awk -v train="$folder/train.part" -v test="$folder/test.part" -v labels="$folder/labels.part" -v name="$name" '
    function bad(why) { printf "%s:%d: %s\n", FILENAME, FNR, why; failed = 1; exit 1 }
    FNR == 1 { file++ }
    file == 1 { label[$1] = $2; print $2 >labels; next }
    file == 2 { class[$1] = $2; next }
    file == 3 { if ($2 != 0 && $2 != 1) bad($2 " is neither 0 nor 1"); split_of[$1] = $2; next }
    {
        if (!($1 in class) || !($1 in split_of)) bad("image " $1 " has no class or no split")
        if (index($2, label[class[$1]] "/") != 1) bad($2 " is not in the folder of its class, " label[class[$1]])
        print name "/images/" $2 >(split_of[$1] ? train : test)
        images++
    }
    END { if (!failed && !images) { print "images.txt is empty"; exit 1 } }
' "$folder/classes.txt" "$folder/image_class_labels.txt" "$folder/train_test_split.txt" "$folder/images.txt" >&2 ||
    die "the lists of $folder do not fit together"
for l in train test; do [ -s "$folder/$l.part" ] || die "$folder has no images to $l with"; done
mv "$folder/labels.part" "$folder/labels.txt"
mv "$folder/train.part" "$folder/train.list"
mv "$folder/test.part" "$folder/test.list"

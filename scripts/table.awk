# table.awk: sourced by table.sh.  Logs of trainings and rows of a table become the table in Markdown, and in
# the file csv with one line a cell.
#
#     trial ROW TRIAL LAST {...}                                    an epoch of a log
#     score ROW TRIAL TOP1                                          of corrupted images
#     absent                                                        the images of the next row are not there
#     row|NUMBER|ROW|COLUMN|DATA|CFG|EPOCHS|PUBLISHED|...           after the epochs of its trials
BEGIN { FS = "|"; print "table,row,column,cfg,epochs,trials,top1,deviation,published" >csv }

# The number after "top1": of the teacher's first head, or the student's; "" where the epoch was not validated.
function top1(line, net) {
    net = index(line, "\"teacher\":{\"one\":{") ? "teacher" : "student"
    if (!match(line, "\"" net "\":[{]\"one\":[{][^}]*\"top1\":[0-9.e+-]+")) return ""
    line = substr(line, RSTART, RLENGTH)
    sub(/.*"top1":/, "", line)
    return line + 0
}

# Of the last `last` of value[1..n].
function median(n, last,    i, j, k, m, v, sorted) {
    m = n < last ? n : last
    for (i = 1; i <= m; i++) {
        v = value[n - m + i]
        for (j = i; j > 1 && sorted[j - 1] > v; j--) sorted[j] = sorted[j - 1]
        sorted[j] = v
    }
    k = int((m + 1) / 2)
    return m % 2 ? sorted[k] : (sorted[k] + sorted[k + 1]) / 2
}

function end_trial() {
    if (count) { done++; sum += v = median(count, last); squares += v * v }
    count = 0
    trial = ""
}

/^title=/ { title = substr($0, 7); next }
/^[a-z]+=/ { next }
/^trial / {
    split($0, word, " ")
    if (word[3] != trial) end_trial()
    trial = word[3]
    last = word[4]
    v = top1($0)
    if (v != "") value[++count] = v
    next
}
/^score / {
    split($0, word, " ")
    end_trial()
    last = count = 1
    value[1] = word[4]
    next
}
/^absent$/ { absent = 1; next }
/^row[|]/ {
    end_trial()
    ours = deviation = ""
    if (done) {
        mean = sum / done
        ours = sprintf("%.2f", mean)
        if (done > 1) deviation = sprintf("%.2f", sqrt((squares - done * mean * mean > 0 ? squares - done * mean * mean : 0) / (done - 1)))
    }
    published = $8 == "-" ? "" : $8
    printf "%s,\"%s\",\"%s\",%s,%s,%d,%s,%s,%s\n", table, $3, $4, $6, $7, done, ours, deviation, published >csv
    if (!($3 in seen_row)) { seen_row[$3] = 1; row[++rows] = $3 }
    if (!($4 in seen_column)) { seen_column[$4] = 1; column[++columns] = $4 }
    part = done && done < trials ? sprintf(", %d of %d trials", done, trials) : ""
    cell[$3, $4] = (ours == "" ? (absent ? "no data" : "-") : ours (deviation == "" ? "" : " ± " deviation) part) (published == "" ? "" : " (" published ")")
    done = sum = squares = absent = 0
}
END {
    print title
    print ""
    line = "| |"
    rule = "| --- |"
    for (c = 1; c <= columns; c++) { line = line " " column[c] " |"; rule = rule " --- |" }
    print line
    print rule
    for (r = 1; r <= rows; r++) {
        line = "| " row[r] " |"
        for (c = 1; c <= columns; c++) line = line " " ((row[r], column[c]) in cell ? cell[row[r], column[c]] : "") " |"
        print line
    }
}

# cpu.awk: the table of cpu.sh, from peak.json, flops ("NET-STEP DIRECT WINOGRAD", GFLOP an image) and results
# ("KEY WHO MS MB MB", or "KEY WHO failed WHY"); cells: the rows in their order.
function key_of_peer(cell) { return cell ~ /-fp32$/ ? cell : step_of(cell) "-bf16" }
function step_of(cell) { sub(/-[^-]*$/, "", cell); return cell }
function number(word) {
    if (!match($0, "\"" word "\": *[0-9.]+")) return 0
    return substr($0, RSTART + length(word) + 3, RLENGTH - length(word) - 3) + 0
}
# median(RUN): sorts what was measured of it
function median(run,  i, k, x, n) {
    n = count[run]
    for (i = 2; i <= n; i++) {
        x = ms[run, i]
        for (k = i - 1; k >= 1 && ms[run, k] > x; k--) ms[run, k + 1] = ms[run, k]
        ms[run, k + 1] = x
    }
    return n % 2 ? ms[run, (n + 1) / 2] : (ms[run, n / 2] + ms[run, n / 2 + 1]) / 2
}
function digits(x) { return sprintf(x < 10 ? "%.2f" : x < 100 ? "%.1f" : "%.0f", x) }
function said(run,  m) {
    m = median(run)
    return digits(m) (count[run] > 1 ? " (" digits(ms[run, 1]) "-" digits(ms[run, count[run]]) ")" : "")
}
# best_of(KEY): the run of the fastest mode, or nothing
function best_of(key,  i, best) {
    for (i = 1; i <= modes[key]; i++)
        if (count[mode[key, i]] && (best == "" || median(mode[key, i]) < median(best))) best = mode[key, i]
    return best
}
FILENAME ~ /peak\.json$/ { fp32 = number("fp32_gflops"); bf16 = number("bf16_gflops"); if (bf16 < fp32) bf16 = fp32; next }
FILENAME ~ /flops$/ { direct[$1] = $2; winograd[$1] = $3; next }
{
    run = $1 SUBSEP $2
    if (!(run in known)) {
        known[run] = $2
        if ($2 != "ours") mode[$1, ++modes[$1]] = run
    }
    if ($3 == "failed") {
        why[run] = $0
        sub(/^[^ ]* [^ ]* failed /, "", why[run])
        failures[run]++
        next
    }
    ms[run, ++count[run]] = $3
    if ($4 > first[run]) first[run] = $4
    if ($5 > second[run]) second[run] = $5
}
END {
    print "| step | ours | PyTorch, its best mode | ratio | MB ours: process / backend | MB PyTorch: added / process | floor: direct / Winograd | of Winograd's |"
    print "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    n = split(cells, cell, " ")
    for (i = 1; i <= n; i++) {
        c = cell[i]
        ours = c SUBSEP "ours"
        peer = best_of(key_of_peer(c))
        plain = c ~ /-fp32$/ ? "" : best_of(step_of(c) "-fp32")
        if (plain != "" && (peer == "" || median(plain) < median(peer))) { peer = plain; name = "fp32 " known[plain] }
        else name = peer == "" ? "" : known[peer]
        mine = count[ours] ? said(ours) : (ours in why) ? "failed" : "-"
        theirs = peer != "" ? said(peer) " " name : modes[key_of_peer(c)] ? "failed" : "-"
        ratio = count[ours] && peer != "" ? sprintf("%.2f", median(peer) / median(ours)) : "-"
        room = count[ours] ? first[ours] " / " second[ours] : "-"
        peer_room = peer != "" ? first[peer] " / " second[peer] : "-"
        rate = c ~ /-fp32$/ ? fp32 : bf16
        floor = share = "-"
        if (rate > 0 && direct[step_of(c)] > 0) {
            floor = digits(1e5 * direct[step_of(c)] / rate) " / " digits(1e5 * winograd[step_of(c)] / rate)
            if (count[ours]) share = sprintf("%.0f %%", 100 * (1e5 * winograd[step_of(c)] / rate) / median(ours))
        }
        printf "| %s | %s | %s | %s | %s | %s | %s | %s |\n", c, mine, theirs, ratio, room, peer_room, floor, share
    }
    for (run in why) {
        split(run, part, SUBSEP)
        printf "%s%s, %s: %d of %d runs failed: %s\n", told++ ? "" : "\n", part[1], part[2], failures[run], failures[run] + count[run], why[run]
    }
    if (fp32) printf "\nPeak of this processor, measured (peak.c): %.0f GFLOP/s in fp32, %.0f in bf16.\n", fp32, bf16
}

/* tiles.c: a page of pictures with a name above and a caption below each, in groups of equal size; a group
 * begins a new line.  A tile without a picture says why.  All pictures are enlarged by the same whole
 * factor, to about 128 pixels. */
#include "picture.h"
#include <stdio.h>
#include <string.h>

enum { EDGE = 24, GAP = 12, LINE = 22, SHOWN = 128, MOST = 16384 };
static const am_colour PAPER = {255, 255, 255}, INK = {32, 36, 44}, PALE = {112, 118, 128},
                       EMPTY = {240, 242, 245};

/* As large as fits, at most twice; cut where even once does not. */
static void write_centred(am_image *page, int x, int y, int room, am_colour colour,
                          const char *text)
{
    char cut[64];
    snprintf(cut, sizeof cut, "%s", text);
    int scale = am_text_width(cut, 2) <= room ? 2 : 1;
    for (size_t n = strlen(cut); n && am_text_width(cut, scale) > room; n--) cut[n - 1] = 0;
    am_draw_text(page, x + (room - am_text_width(cut, scale)) / 2, y + (2 - scale) * 4, scale,
                 colour, cut);
}

/* Words one after the other, a new line where the next does not fit. */
static void write_wrapped(am_image *page, int x, int y, int room_w, int room_h, const char *text)
{
    int bottom = y + room_h, step = am_text_height(1) + 3;
    while (*text && y + step <= bottom) {
        char line[128] = "";
        size_t end = 0;
        for (size_t n = 1; n < sizeof line - 1 && text[n - 1]; n++) {
            snprintf(line, sizeof line, "%.*s", (int)n, text);
            if (am_text_width(line, 1) > room_w) break;
            if (!text[n] || text[n] == ' ') end = n;
        }
        if (!end) end = strlen(line) > 1 ? strlen(line) - 1 : 1;
        snprintf(line, sizeof line, "%.*s", (int)end, text);
        am_draw_text(page, x, y, 1, PALE, line);
        y += step;
        text += end;
        while (*text == ' ') text++;
    }
}

am_status am_tiles_write(const char *path, const char *title, const am_tile *tile, int groups,
                         int each, int across, am_err *e)
{
    int w = 1, h = 1, lines = (each + across - 1) / across;
    for (int i = 0; i < groups * each; i++) {
        if (tile[i].picture.width > w) w = tile[i].picture.width;
        if (tile[i].picture.height > h) h = tile[i].picture.height;
    }
    int zoom = w < SHOWN ? (SHOWN + w - 1) / w : 1, slot_w = w * zoom, slot_h = h * zoom,
        row_h = slot_h + 2 * LINE + GAP;
    int head = am_text_height(2) + GAP, width = 2 * EDGE + across * (slot_w + GAP) - GAP;
    double height = 2.0 * EDGE + head + (double)groups * (lines * row_h + GAP);
    if (height > MOST || width > MOST)
        return am_fail(e, AM_EUSAGE, (am_loc){path, 0},
                       "%d pairs of %dx%d pixels make a page of %dx%.0f, and %d is the most on a "
                       "side; ask for fewer (-n)",
                       groups, slot_w, slot_h, width, height, MOST);
    am_image page;
    AM_TRY(am_image_new(&page, width, (int)height, e));
    am_draw_fill(&page, 0, 0, page.width, page.height, PAPER);
    am_draw_text(&page, EDGE, EDGE, am_text_width(title, 2) <= width - 2 * EDGE ? 2 : 1, INK,
                 title);
    for (int i = 0; i < groups * each; i++) {
        int at = i % each, x = EDGE + at % across * (slot_w + GAP),
            y = EDGE + head + i / each * (lines * row_h + GAP) + at / across * row_h;
        write_centred(&page, x, y, slot_w, INK, tile[i].name);
        am_draw_fill(&page, x, y + LINE, slot_w, slot_h, EMPTY);
        if (tile[i].picture.pixel)
            am_draw_image(&page, x, y + LINE, &tile[i].picture, zoom);
        else
            write_wrapped(&page, x + 6, y + LINE + 6, slot_w - 12, slot_h - 12, tile[i].caption);
        if (tile[i].picture.pixel)
            write_centred(&page, x, y + LINE + slot_h + 4, slot_w, PALE, tile[i].caption);
    }
    am_status s = am_image_write_png(&page, path, e);
    am_image_free(&page);
    return s;
}

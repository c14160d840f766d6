/* sheet.c: a page of mixes.  A row is a pair: x_i, x_j, then for each lambda the mix and beside it
 * the mask that made it.  Masks are shown by am_heat, whose scale is at the foot.
 *
 * All pictures of a page are enlarged by the same whole factor, to about 128 pixels. */
#include "picture.h"
#include <stdio.h>
#include <string.h>

enum { EDGE = 24, GAP = 4, BETWEEN = 20, SHOWN = 112, SCALE = 2, MOST = 16384 };
static const am_colour PAPER = {255, 255, 255}, INK = {32, 36, 44}, PALE = {112, 118, 128},
                       EMPTY = {240, 242, 245};

/* Where things stand.  A slot is an enlarged picture; a cell is a mix and, if any cell has one, its
 * mask. */
typedef struct layout {
    int zoom, slot_w, slot_h, cell_w, masks, title, head, row_h, width, height;
} layout;

static void grow(const am_image *img, int *w, int *h)
{
    if (img->width > *w) *w = img->width;
    if (img->height > *h) *h = img->height;
}

static int fits(const char *text, int scale, int room)
{
    return am_text_width(text, scale) <= room;
}

static layout lay_out(const am_sheet *s)
{
    layout l = {0};
    int w = 1, h = 1, captions = 0;
    for (int r = 0; r < s->rows; r++) {
        const am_sheet_row *row = &s->row[r];
        grow(&row->a, &w, &h);
        grow(&row->b, &w, &h);
        captions |= row->label_a[0] || row->label_b[0];
        for (int c = 0; c < s->columns; c++) {
            grow(&row->cell[c].mix, &w, &h);
            l.masks |= row->cell[c].mask != NULL;
            captions |= row->cell[c].caption[0];
        }
    }
    l.zoom = w < SHOWN ? (SHOWN + w - 1) / w : 1;
    l.slot_w = w * l.zoom;
    l.slot_h = h * l.zoom;
    l.cell_w = l.masks ? 2 * l.slot_w + GAP : l.slot_w;
    int line = am_text_height(SCALE) + 6;
    l.title = s->title && *s->title ? am_text_height(3) + BETWEEN : 0;
    l.head = line;
    l.row_h = l.slot_h + (captions ? GAP + line : 0) + BETWEEN / 2;
    l.width = 2 * EDGE + 2 * l.slot_w + GAP + s->columns * (BETWEEN + l.cell_w);
    if (l.width < 480) l.width = 480;
    return l;
}

/* text in the middle of room pixels; small where it is wide, then cut with two dots. */
static void write_centred(am_image *page, int x, int y, int room, int scale, am_colour colour,
                          const char *text)
{
    char cut[160];
    snprintf(cut, sizeof cut, "%s", text);
    if (!fits(cut, scale, room)) scale = 1;
    for (size_t n = strlen(cut); n > 2 && !fits(cut, scale, room); n--)
        snprintf(cut + n - 3, 3, "..");
    am_draw_text(page, x + (room - am_text_width(cut, scale)) / 2, y + 3 * (SCALE - scale), scale,
                 colour, cut);
}

static void draw_slot(am_image *page, const layout *l, int x, int y, const am_image *img)
{
    am_draw_fill(page, x, y, l->slot_w, l->slot_h, EMPTY);
    if (img->pixel) am_draw_image(page, x, y, img, l->zoom);
}

static void draw_mask(am_image *page, const layout *l, int x, int y, const am_sheet_cell *cell)
{
    if (!l->masks) return;
    am_draw_fill(page, x, y, l->slot_w, l->slot_h, EMPTY);
    for (int i = 0; cell->mask && i < cell->mix.width * cell->mix.height; i++)
        am_draw_fill(page, x + i % cell->mix.width * l->zoom, y + i / cell->mix.width * l->zoom,
                     l->zoom, l->zoom, am_heat(cell->mask[i]));
}

static int column_x(const layout *l, int c)
{
    return EDGE + 2 * l->slot_w + GAP + BETWEEN + c * (BETWEEN + l->cell_w);
}

/* The headings of the columns are all as large. */
static void draw_head(am_image *page, const layout *l, const am_sheet *s, int y)
{
    int scale = SCALE;
    for (int c = 0; s->column && c < s->columns; c++)
        if (!fits(s->column[c], SCALE, l->cell_w)) scale = 1;
    write_centred(page, EDGE, y, l->slot_w, scale, PALE, "x_i");
    write_centred(page, EDGE + l->slot_w + GAP, y, l->slot_w, scale, PALE, "x_j");
    for (int c = 0; s->column && c < s->columns; c++)
        write_centred(page, column_x(l, c), y, l->cell_w, scale, PALE, s->column[c]);
}

static void draw_row(am_image *page, const layout *l, const am_sheet_row *row, int columns, int y)
{
    int below = y + l->slot_h + GAP, x = EDGE;
    draw_slot(page, l, x, y, &row->a);
    write_centred(page, x, below, l->slot_w, SCALE, INK, row->label_a);
    x += l->slot_w + GAP;
    draw_slot(page, l, x, y, &row->b);
    write_centred(page, x, below, l->slot_w, SCALE, INK, row->label_b);
    for (int c = 0; c < columns; c++) {
        x = column_x(l, c);
        draw_slot(page, l, x, y, &row->cell[c].mix);
        draw_mask(page, l, x + l->slot_w + GAP, y, &row->cell[c]);
        write_centred(page, x, below, l->cell_w, SCALE, INK, row->cell[c].caption);
    }
}

/* The masks' scale with its numbers below and what they mean at both ends. */
static void draw_foot(am_image *page, int y)
{
    enum { LONG = 240, THICK = 14 };
    const char *left = "mask 0: all x_i", *right = "1: all x_j";
    int x = EDGE + am_text_width(left, SCALE) + 14, middle = y + THICK / 2 - 7;
    am_draw_text(page, EDGE, middle, SCALE, INK, left);
    for (int k = 0; k < LONG; k++) am_draw_fill(page, x + k, y, 1, THICK, am_heat(k / (LONG - 1.)));
    for (int k = 0; k <= 4; k++) {
        char text[32];
        snprintf(text, sizeof text, "%g", k / 4.);
        int at = x + k * (LONG - 1) / 4;
        am_draw_fill(page, at, y + THICK, 1, 4, PALE);
        am_draw_text(page, at - am_text_width(text, 1) / 2, y + THICK + 7, 1, PALE, text);
    }
    am_draw_text(page, x + LONG + 14, middle, SCALE, INK, right);
}

am_status am_sheet_write(const char *path, const am_sheet *s, am_err *e)
{
    layout l = lay_out(s);
    double height =
        2. * EDGE + l.title + l.head + (double)s->rows * l.row_h + (l.masks ? 36 + BETWEEN / 2 : 0);
    if (height > MOST || l.width > MOST)
        return am_fail(
            e, AM_EUSAGE, (am_loc){path, 0},
            "%d pairs with %d columns of %dx%d pixels make a sheet of %dx%.0f,"
            " and %d is the most on a side; ask for fewer pairs (-n) or lambdas (-lambda)",
            s->rows, s->columns, l.slot_w, l.slot_h, l.width, height, MOST);
    am_image page;
    AM_TRY(am_image_new(&page, l.width, (int)height, e));
    am_draw_fill(&page, 0, 0, page.width, page.height, PAPER);
    int y = EDGE;
    if (l.title) {
        int scale = fits(s->title, 3, l.width - 2 * EDGE)   ? 3
                    : fits(s->title, 2, l.width - 2 * EDGE) ? 2
                                                            : 1;
        am_draw_text(&page, EDGE, y, scale, INK, s->title);
    }
    y += l.title;
    draw_head(&page, &l, s, y);
    y += l.head;
    for (int r = 0; r < s->rows; r++, y += l.row_h) draw_row(&page, &l, &s->row[r], s->columns, y);
    if (l.masks) draw_foot(&page, y + BETWEEN / 2);
    am_status status = am_image_write_png(&page, path, e);
    am_image_free(&page);
    return status;
}

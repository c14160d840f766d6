/* font.c: text on an image.
 *
 * A letter is a few strokes between points of a grid of dots, 5 wide and 9 high: row 0 is the top
 * of capitals, 2 that of small letters, 6 the baseline, 8 the foot of letters that hang below it.
 * A stroke is a row of points, two digits (x, y) each; strokes are parted by a blank, a single
 * point is a dot.  At scale s a dot of the grid is s pixels wide: straight strokes fall on whole
 * pixels and are crisp, slanted ones are antialiased.  Bytes beyond ASCII show as one '?' per
 * character of UTF-8. */
#include "picture.h"

enum { ROWS = 9, BLANK = 3, DIGIT = 4 };                /* widths in dots, less one */

static const char *const glyph[95] = {
    "", "0004 06", "0002 2022", "1016 3036 0242 0444", "413010010213334445361605 2026",
    "0640 0010110100 3545463635", "4602011020310405162644", "0002", "10010516", "00111506",
    "2125 0244 0442", "2125 0343", "1607", "0333", "06", "0630",
    "103041453616050110", "112026 1636", "01103041420646", "004022324345361605", "36300444",
    "400002324345361605", "30200205163645443303", "004016", "103041423313020110 1304051636454433",
    "162644413010010213 43", "03 06", "13 1607", "310335", "0242 0444", "013305", "011030414224 26",
    "46160501103041443432222434", "0602204246 0444", "003041423303 334445360600",
    "4130100105163645", "00204244260600", "40000646 0333", "400006 0333", "413010010516464323",
    "0006 4046 0343", "0020 1016 0626", "3035261605", "0006 4004 1346", "000646", "0600224046",
    "06004640",
    "103041453616050110", "06003041423303", "103041453616050110 2446", "06003041423303 1346",
    "413010010213334445361605", "0040 2026", "000516364540", "002640", "0006244640", "0046 4006",
    "002340 2326", "00400646", "10000616", "0036", "00101606", "022042", "0747", "0011",
    "02223336 3414051636", "00062635332202", "321203051636", "30361605031232", "043433221203051636",
    "201116 0222", "32372808 361605031232", "0006 02223336", "00 0206", "10 121708",
    "0006 3205 1436", "000516", "0602122326 23324346", "0602223336", "122233352616050312",
    "08022233352606", "38321203051636", "0206 031222", "3212031424352606", "101526 0222",
    "0205163632", "022642", "0216233642", "0236 3206", "0226 4218", "02320636",
    "20111203141526", "0007", "00111223141506", "04133544",
};

static int is_digit(char c) { return c >= '0' && c <= '9'; }

static const char *strokes(unsigned char c)
{
    return glyph[c < 32 || c > 126 ? '?' - 32 : c - 32];
}

static int is_inside_utf8(unsigned char c) { return (c & 0xc0) == 0x80; }

/* In dots; figures are all as wide, so that columns of them line up. */
static int width(unsigned char c)
{
    if (is_digit((char)c)) return DIGIT;
    if (c == ' ') return BLANK;
    int most = 0;
    for (const char *p = strokes(c); *p; p += p[2] == ' ' ? 3 : 2)
        if (*p - '0' > most) most = *p - '0';
    return most;
}

int am_text_height(int scale) { return ROWS * scale; }

int am_text_width(const char *text, int scale)
{
    int dots = 0;
    for (; *text; text++)
        if (!is_inside_utf8((unsigned char)*text)) dots += width((unsigned char)*text) + 2;
    return dots ? (dots - 1) * scale : 0;
}

void am_draw_text(am_image *img, int x, int y, int scale, am_colour colour, const char *text)
{
    double half = scale / 2.0;
    for (; *text; text++) {
        if (is_inside_utf8((unsigned char)*text)) continue;
        for (const char *p = strokes((unsigned char)*text); *p; p++) {
            double x0 = x + (p[0] - '0') * scale + half, y0 = y + (p[1] - '0') * scale + half;
            if (!is_digit(p[2])) am_draw_line(img, x0, y0, x0, y0, scale, colour);
            for (p += 2; is_digit(*p); p += 2) {
                double x1 = x + (p[0] - '0') * scale + half, y1 = y + (p[1] - '0') * scale + half;
                am_draw_line(img, x0, y0, x1, y1, scale, colour);
                x0 = x1;
                y0 = y1;
            }
            if (!*p) break;
        }
        x += (width((unsigned char)*text) + 2) * scale;
    }
}

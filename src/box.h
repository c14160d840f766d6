/* box.h: the boxes of CutMix and its relatives, in pixels, right and lower edge outside. */
#ifndef AM_BOX_H
#define AM_BOX_H

typedef struct am_box { int x1, y1, x2, y2; } am_box;

static inline int am_box_clip(int v, int most) { return v < 0 ? 0 : v > most ? most : v; }

/* Sides of 2 (side / 2) about a centre, cut off at the image's edge. */
static inline am_box am_box_around(int cx, int cy, int side_w, int side_h, int w, int h)
{
    return (am_box){am_box_clip(cx - side_w / 2, w), am_box_clip(cy - side_h / 2, h),
                    am_box_clip(cx + side_w / 2, w), am_box_clip(cy + side_h / 2, h)};
}
static inline double am_box_share(am_box b, int w, int h)
{
    return (double)(b.x2 - b.x1) * (b.y2 - b.y1) / ((double)w * h);
}

#endif

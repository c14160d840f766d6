/* shapes.c: draws one picture of the generated set: an object of one of ten outlines, turned,
 * stretched and placed at random, on a cluttered ground.
 *
 * Only the outline tells the class: colours, textures, places, areas and clutter (blobs, bars) are
 * drawn alike for all.  The object is lighter than its ground, if only by little, so that a net
 * finds it within the first epochs; the clutter may be either.
 *
 * Lengths are in pixels of a picture 32 wide and stretch with it.  The object's coverage of a pixel
 * is the share of 4 x 4 points of it that lie inside; clutter uses its distance, which is as smooth
 * and needs one evaluation. */
#include "shapes.h"
#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846
enum { ORDER = 1000 };                                  /* streams that order the classes */
enum { FINE = 4 };                                      /* points per pixel and direction */
static const double ROAM = 5;                           /* farthest from the middle, per axis */
enum { CLUTTER_LEAST = 3, CLUTTER_MOST = 7 };
static const double CONTRAST = .12;                     /* object over ground, least */

const char *const am_shape_name[AM_SHAPES] = {
    "arrow", "bow", "crescent", "cross", "disc", "heart", "ring", "square", "star", "triangle",
};
enum { ARROW, BOW, CRESCENT, CROSS, DISC, HEART, RING, SQUARE, STAR, TRIANGLE };

/* ---- outlines, y downwards ---- */

typedef struct point { double x, y; } point;

static const point arrow[] = {{-1, -.28}, {.1, -.28}, {.1, -.75}, {1, 0},
                              {.1, .75},  {.1, .28},  {-1, .28}};
static const point bow[] = {{-1, -.8}, {0, -.12}, {1, -.8}, {1, .8}, {0, .12}, {-1, .8}};
static const point cross[] = {{-.36, -1},  {.36, -1},  {.36, -.36}, {1, -.36},
                              {1, .36},    {.36, .36}, {.36, 1},    {-.36, 1},
                              {-.36, .36}, {-1, .36},  {-1, -.36},  {-.36, -.36}};
static const point square[] = {{-1, -1}, {1, -1}, {1, 1}, {-1, 1}};
static const point star[] = {{0, -1}, {.247, -.34}, {.951, -.309}, {.4, .13}, {.588, .809},
                             {0, .42}, {-.588, .809}, {-.4, .13}, {-.951, -.309}, {-.247, -.34}};
static const point triangle[] = {{0, -1}, {.866, .5}, {-.866, .5}};

/* area and the farthest point from the origin, at scale 1 (tests/shapes.c measures them) */
static const struct outline { const point *at; int corners; double area, reach; } outline[] = {
#define POLYGON(p, area, reach) {p, sizeof p / sizeof *p, area, reach}
    [ARROW] = POLYGON(arrow, 1.291, 1.039),
    [BOW] = POLYGON(bow, 1.84, 1.281),
    [CRESCENT] = {NULL, 0, 1.309, 1.28},
    [CROSS] = POLYGON(cross, 2.3616, 1.063),
    [DISC] = {NULL, 0, 3.1416, 1},
    [HEART] = {NULL, 0, 3.662, 1.28},
    [RING] = {NULL, 0, 2.2682, 1},
    [SQUARE] = POLYGON(square, 4, 1.415),
    [STAR] = POLYGON(star, 1.235, 1),
    [TRIANGLE] = POLYGON(triangle, 1.299, 1),
#undef POLYGON
};

static int in_polygon(const point *p, int n, double x, double y)
{
    int in = 0;
    for (int i = 0, j = n - 1; i < n; j = i++)
        if ((p[i].y > y) != (p[j].y > y)
            && x < p[i].x + (p[j].x - p[i].x) * (y - p[i].y) / (p[j].y - p[i].y))
            in = !in;
    return in;
}

/* Is x y within the outline at scale 1?  Its centre of mass is near the origin. */
static int inside(int class, double x, double y)
{
    if (outline[class].at) return in_polygon(outline[class].at, outline[class].corners, x, y);
    if (class == CRESCENT) x -= .42;
    if (class == HEART) y -= .28;
    double rr = x * x + y * y;
    switch (class) {
    case DISC: return rr < 1;
    case RING: return rr < 1 && rr > .278;
    case CRESCENT: return rr < 1 && (x - .45) * (x - .45) + y * y > .722;
    default: return (rr - 1) * (rr - 1) * (rr - 1) < -x * x * y * y * y;    /* heart, point down */
    }
}

/* ---- colours and textures ---- */

typedef struct paint { int kind; double from[3], to[3], ux, uy, phase; } paint;
enum { FADE, STRIPES, CHECKS, DOTS, CLOUDS, KINDS };

static void random_colour(am_rng *r, double least, double most, double *c)
{
    for (int k = 0; k < 3; k++) c[k] = am_rng_between(r, least, most);
}

static paint random_paint(am_rng *r, double least, double most)
{
    paint p = {.kind = (int)am_rng_below(r, KINDS)};
    p.phase = am_rng_between(r, 0, 2 * PI);
    random_colour(r, least, most, p.from);
    for (int k = 0; k < 3; k++)
        p.to[k] = fmin(1, fmax(0, p.from[k] + am_rng_between(r, -.22, .22)));
    double turn = am_rng_between(r, 0, 2 * PI), wave = 2 * PI / am_rng_between(r, 4, 10);
    p.ux = wave * cos(turn);
    p.uy = wave * sin(turn);
    return p;
}

static double clamp(double v) { return v < 0 ? 0 : v > 1 ? 1 : v; }

/* How far the colour is from p->from to p->to at x y. */
static double texture(const paint *p, double x, double y)
{
    double a = x * p->ux + y * p->uy + p->phase, b = y * p->ux - x * p->uy + p->phase;
    switch (p->kind) {
    case FADE: return .5 + .5 * sin(.2 * a);
    case STRIPES: return clamp(.5 + 1.2 * sin(a));
    case CHECKS: return clamp(.5 + 2 * sin(a) * sin(b));
    case DOTS: return clamp(2 * (cos(a) + cos(b)) - 1);
    default: return .5 + (sin(a) + sin(.6 * b + 1) + sin(.7 * (a + b) + 2)) / 6;
    }
}

/* How much lighter is b on average? */
static double contrast(const paint *a, const paint *b)
{
    double sum = 0;
    for (int k = 0; k < 3; k++) sum += b->from[k] + b->to[k] - a->from[k] - a->to[k];
    return sum / 6;
}

/* ---- clutter: capsules, from short and thick (blobs) to long and thin (bars) ---- */

typedef struct capsule { double x, y, dx, dy, length, radius, colour[3]; } capsule;

static capsule random_capsule(am_rng *r)
{
    double turn = am_rng_between(r, 0, 2 * PI);
    capsule c = {.dx = cos(turn), .dy = sin(turn)};
    c.x = am_rng_between(r, 0, 32);
    c.y = am_rng_between(r, 0, 32);
    int blob = (int)am_rng_below(r, 2);
    c.length = blob ? am_rng_between(r, 0, 2.5) : am_rng_between(r, 4, 16);
    c.radius = blob ? am_rng_between(r, 1, 2.6) : am_rng_between(r, .4, 1.2);
    random_colour(r, .05, .95, c.colour);
    return c;
}

static double capsule_coverage(const capsule *c, double x, double y, double unit)
{
    double px = x - c->x, py = y - c->y, along = fmin(c->length, fmax(0, px * c->dx + py * c->dy));
    px -= along * c->dx;
    py -= along * c->dy;
    return clamp(.5 + unit * (c->radius - sqrt(px * px + py * py)));
}

/* ---- the object ---- */

/* From the picture to the outline: (xx xy; yx yy) (point - (x, y)). */
typedef struct pose { double x, y, xx, xy, yx, yy; } pose;

static pose random_pose(am_rng *r, const struct outline *o)
{
    double size = am_rng_between(r, 5.5, 8.2) * sqrt(PI / o->area);
    double stretch = exp(am_rng_between(r, -.15, .15));
    double turn = am_rng_between(r, -1, 1), c = cos(turn), s = sin(turn);
    double reach = o->reach * size * fmax(stretch, 1 / stretch);
    pose p = {.xx = c / (size * stretch), .xy = s / (size * stretch)};
    p.yx = -s * stretch / size;
    p.yy = c * stretch / size;
    double roam = fmin(ROAM, 16 - reach);
    p.x = am_rng_between(r, 16 - roam, 16 + roam);
    p.y = am_rng_between(r, 16 - roam, 16 + roam);
    return p;
}

static double object_coverage(int class, const pose *p, int x, int y, double unit)
{
    int in = 0;
    for (int k = 0; k < FINE * FINE; k++) {
        double px = (x + (k % FINE + .5) / FINE) / unit - p->x;
        double py = (y + (k / FINE + .5) / FINE) / unit - p->y;
        in += inside(class, p->xx * px + p->xy * py, p->yx * px + p->yy * py);
    }
    return (double)in / (FINE * FINE);
}

/* ---- the picture ---- */

static void blend(double *pixel, const double *colour, double cover)
{
    for (int k = 0; k < 3; k++) pixel[k] += cover * (colour[k] - pixel[k]);
}

static void blend_paint(double *pixel, const paint *p, double x, double y, double cover)
{
    double t = texture(p, x, y), colour[3];
    for (int k = 0; k < 3; k++) colour[k] = p->from[k] + t * (p->to[k] - p->from[k]);
    blend(pixel, colour, cover);
}

static am_shape_box tight_box(const unsigned char *plane, int w, int h)
{
    int left = w, right = -1, top = h, bottom = -1;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            if (plane[y * w + x]) {
                if (x < left) left = x;
                if (x > right) right = x;
                if (y < top) top = y;
                bottom = y;
            }
    if (right < 0) return (am_shape_box){0, 0, 0, 0};
    return (am_shape_box){left, top, right - left + 1, bottom - top + 1};
}

int am_shape_class(uint64_t seed, int split, int index)
{
    int order[AM_SHAPES];
    am_rng r = am_rng_at(seed, ORDER + (uint64_t)split, (uint64_t)(index / AM_SHAPES));
    am_rng_permute(&r, AM_SHAPES, order);
    return order[index % AM_SHAPES];
}

void am_shape_draw(uint64_t seed, int split, int index, am_image *img, unsigned char *silhouette,
                   am_shape_box *box)
{
    am_rng r = am_rng_at(seed, (uint64_t)split, (uint64_t)index);
    int class = am_shape_class(seed, split, index), w = img->width, h = img->height;
    double unit = fmin(w, h) / 32.0;
    pose at = random_pose(&r, &outline[class]);
    paint ground = random_paint(&r, .05, .7), body;
    do body = random_paint(&r, .3, .95);
    while (contrast(&ground, &body) < CONTRAST);
    capsule clutter[CLUTTER_MOST];
    int pieces = CLUTTER_LEAST + (int)am_rng_below(&r, CLUTTER_MOST - CLUTTER_LEAST + 1);
    for (int i = 0; i < pieces; i++) clutter[i] = random_capsule(&r);
    double grain = am_rng_between(&r, .01, .05);

    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            double pixel[3] = {0, 0, 0}, px = (x + .5) / unit, py = (y + .5) / unit;
            blend_paint(pixel, &ground, px, py, 1);
            for (int i = 0; i < pieces; i++)
                blend(pixel, clutter[i].colour, capsule_coverage(&clutter[i], px, py, unit));
            double cover = object_coverage(class, &at, x, y, unit);
            blend_paint(pixel, &body, px, py, cover);
            silhouette[y * w + x] = cover >= .5 ? 255 : 0;
            for (int k = 0; k < 3; k++) {
                double v = pixel[k] + am_rng_between(&r, -grain, grain);
                img->pixel[3 * (y * w + x) + k] = (unsigned char)lrint(255 * clamp(v));
            }
        }
    *box = tight_box(silhouette, w, h);
}

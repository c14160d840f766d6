/* fuzz/weights.c: any bytes as a weight file and as a safetensors file.
 *
 * Checksums would stop nearly every input at the door, so each is also tried with its sums and
 * sizes put right (the layout is in src/weights_file.c).  What is accepted is then read whole. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include "file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { HEADER = 64, ROW = 136 };

static uint64_t get(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static void set(uint8_t *p, uint64_t v) { memcpy(p, &v, sizeof v); }

static uint64_t up(uint64_t n) { return (n + 63) & ~(uint64_t)63; }

static void put_right(uint8_t *b, size_t size)
{
    if (size < HEADER) return;
    memcpy(b, "AUTOMIX1", 8);
    set(b + 8, size);
    set(b + 48, 0);
    uint64_t cfg = get(b + 16), rows = get(b + 24), table = HEADER + up(cfg);
    if (cfg <= size && table <= size) {
        set(b + 32, XXH3_64bits(b + HEADER, cfg <= size - HEADER ? cfg : 0));
        if (rows <= (size - table) / ROW) {
            for (uint64_t i = 0; i < rows; i++) {
                uint8_t *row = b + table + i * ROW;
                uint64_t at = get(row + 120), bytes = get(row + 72);    /* one dimension of bytes */
                if (at <= size && bytes <= size - at) set(row + 128, XXH3_64bits(b + at, bytes));
            }
            set(b + 40, XXH3_64bits(b + table, rows * ROW));
        }
    }
    set(b + 56, XXH3_64bits(b, 56));
}

static void use(am_tensors *t)
{
    uint64_t sum = 0;
    for (int i = 0; i < t->count; i++) {
        const am_tensor *x = &t->tensor[i];
        sum ^= XXH3_64bits(x->data, am_tensor_count(x) * am_type_size(x->type)) + strlen(x->name);
        if (am_tensor_find(t, x->name) != x) abort();
    }
    if (t->cfg) sum ^= strlen(t->cfg);
    volatile uint64_t sink = sum;
    (void)sink;
    am_tensors_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    am_tensors t;
    am_err e;
    if (!am_weights_parse(&t, bytes, size, "fuzz", &e)) use(&t);
    if (t.mem.top) abort();
    if (!am_safetensors_parse(&t, bytes, size, "fuzz", &e)) use(&t);
    if (t.mem.top) abort();
    uint8_t *b = malloc(size + 1);
    if (!b) return 0;
    if (size) memcpy(b, bytes, size);
    put_right(b, size);
    if (!am_weights_parse(&t, b, size, "fuzz", &e)) use(&t);
    if (t.mem.top) abort();
    free(b);
    return 0;
}

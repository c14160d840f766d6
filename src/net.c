/* net.c: a cfg becomes layers with shapes. */
#include "net.h"
#include <string.h>

#define OPTIONS am_net_options
const am_key am_net_keys[] = {
    AM_INT(batch, 1, 65536, "1", "images per update of the weights"),
    AM_INT(subdivisions, 1, 65536, "1",
           "the batch is run in that many parts, to save memory; each part has batch statistics of "
           "its own"),
    AM_INT(width, 1, 4096, "32", "columns of the network's input"),
    AM_INT(height, 1, 4096, "32", "rows of the network's input"),
    AM_INT(channels, 1, 4096, "3", "channels of the network's input; images have 3"),
    AM_REAL(learning_rate, 0, 1000, "0.001", "step size of SGD"),
    AM_REAL(min_learning_rate, 0, 1000, "0", "policy=cosine: the rate it falls to"),
    AM_REAL(momentum, 0, 1, "0.9", "of SGD"),
    AM_FLAG(nesterov, "0", "look ahead by the momentum (Nesterov)"),
    AM_REAL(decay, 0, 10, "0.0001",
            "weight decay, coupled (L2), on every parameter unless decay_exempt says otherwise"),
    AM_WORD(decay_exempt, "",
            "parameters without decay: norm, bias, or norm,bias (Darknet's habit); empty: none"),
    AM_INT(epochs, 0, 1000000, "0", "how often the training set is seen; 0: max_batches counts"),
    AM_INT(max_batches, 0, 1000000000, "0", "updates to train for, where epochs is 0"),
    AM_CHOICE(policy, "constant|step|steps|exp|poly|sigmoid|random|cosine", "constant",
              "how the learning rate changes; cosine changes it once an epoch"),
    AM_INT(burn_in, 0, 1000000000, "0",
           "updates during which the rate rises as (update / burn_in)^power"),
    AM_REAL(power, 0, 100, "4", "of burn_in, policy=poly and policy=random"),
    AM_INT(step, 1, 1000000000, "1",
           "policy=step: updates between changes; policy=sigmoid: its middle"),
    AM_REAL(scale, 0, 1000, "1", "policy=step: the rate is multiplied by this"),
    AM_REALS(steps, 0, 1e9, "", "policy=steps: updates at which the rate changes"),
    AM_REALS(scales, 0, 1e9, "",
             "policy=steps: what it is multiplied by there, one number for each of steps"),
    AM_REAL(gamma, 0, 1000, "1", "policy=exp: rate * gamma^update; policy=sigmoid: its steepness"),
    AM_REAL(label_smooth_eps, 0, 1, "0",
            "label smoothing: 1 - eps on the class, eps / (classes - 1) on each other"),
    AM_CHOICE(init, "fan_out|pytorch|darknet", "fan_out",
              "fan_out: He's, with the last scale of each residual branch at 0; pytorch: its "
              "constructors' defaults; darknet: its own"),
    AM_CHOICE(precision, "auto|" AM_PRECISIONS, "auto",
              "of activations and products; auto: fp32 on cpu and simd, bf16 on cuda; fast: the "
              "same as bf16; what is kept in fp32 always: weights, statistics, masks, losses"),
    AM_INT(seed, 0, 2147483647, "1", "of everything drawn by chance; -seed overrides it"),
    AM_INT(log_every, 1, 1000000000, "10", "updates between lines of progress"),
    AM_INT(valid_every, 1, 1000000, "1",
           "epochs between validations; the last epoch is always validated"),
    AM_FLAG(flip, "1", "mirror half of the training images"),
    AM_INT(pad_crop, 0, 1024, "0",
           "pad training images by this on all sides, then cut the input's size out at random"),
    AM_CHOICE(pad_mode, "zero|reflect", "zero",
              "what the padding holds: black, or the mirrored image"),
    AM_FLAG(resized_crop, "0",
            "random resized crop: a random box of the training image becomes the input"),
    AM_REALS(crop_scale, 0, 1, "0.08,1",
             "resized_crop: least and greatest share of the image's area"),
    AM_REALS(crop_ratio, 0.01, 100, "0.75,1.3333333",
             "resized_crop: least and greatest width / height"),
    AM_CHOICE(filter, "nearest|bilinear|bicubic", "bilinear",
              "how images are resized, with antialiasing"),
    AM_INT(resize, 0, 16384, "0",
           "validation: shorter side to this, then a centre crop; 0: straight to the input's size"),
    AM_REALS(mean, -1000, 1000, "0,0,0", "subtracted from the pixels (0 to 1) of each channel"),
    AM_REALS(std, 1e-6, 1000, "1,1,1", "the pixels of each channel are divided by this"),
    AM_REAL(angle, 0, 180, "0", "training images are turned by up to this many degrees"),
    AM_REAL(aspect, 1, 10, "1", "training images are stretched by up to this"),
    AM_REAL(hue, 0, 1, "0", "the hue of training images is moved by up to this"),
    AM_REAL(saturation, 0.01, 100, "1", "saturation is multiplied or divided by up to this"),
    AM_REAL(exposure, 0.01, 100, "1", "brightness is multiplied or divided by up to this"),
    AM_INT(min_crop, 0, 16384, "0",
           "Darknet's zoom: the image's shorter side becomes min_crop to max_crop before cutting; "
           "0: off"),
    AM_INT(max_crop, 0, 16384, "0", "see min_crop"),
    {0}
};
#undef OPTIONS

#define OPTIONS am_layer_common
const am_key am_layer_common_keys[] = {
    AM_WORD(name, "", "what other sections call this layer"),
    AM_LAYER(input, "", "the layer it reads; by default the one above"),
    AM_REAL(learning_rate, 0, 1000, "1",
            "times the net's learning rate, for this layer's parameters"),
    AM_FLAG(fresh, "0",
            "1: where a training starts from the WEIGHTS of another net, this layer does not: it "
            "keeps its initialisation, and the file need not have it"),
    {0}
};
#undef OPTIONS

/* Sections that are no layers, and who reads them. */
static int is_layer(const am_section *s)
{
    return strcmp(s->name, "net") && strcmp(s->name, "mix") && strcmp(s->name, "momentum_teacher");
}

static const char *name_of(const void *net, int i)
{
    return ((const am_net *)net)->layer[i].name;
}

am_names am_net_names(const am_net *net)
{
    return (am_names){name_of, net, net->layers, net->layers};
}

int am_net_find(const am_net *net, const char *name)
{
    for (int i = 0; i < net->layers; i++)
        if (net->layer[i].name && !strcmp(net->layer[i].name, name)) return i;
    return -1;
}

int am_net_first(const am_net *net, const char *type, int nth)
{
    for (int i = 1; i < net->layers; i++)
        if (!strcmp(net->layer[i].type->name, type) && nth-- == 0) return i;
    return -1;
}

int am_net_last_map(const am_net *net)
{
    for (int i = 1; i < net->layers; i++) {
        const am_layer *l = &net->layer[i];
        if (!strcmp(l->type->name, "avgpool") && l->out.h * l->out.w == 1) return l->in[0];
    }
    return -1;
}

am_status am_want(am_layer *l, const char *name, am_role role, am_init init, int kind, int dims,
                  const size_t *dim, am_err *e)
{
    if (l->params == AM_MAX_PARAM)
        return am_fail(e, AM_EBUG, l->loc, "a layer wants more than %d parameters", AM_MAX_PARAM);
    am_param *p = &l->param[l->params++];
    *p = (am_param){
        .name = name, .role = role, .init = init, .kind = kind, .dims = dims, .count = 1};
    for (int i = 0; i < dims; i++) p->count *= p->dim[i] = dim[i];
    return AM_OK;
}

static am_status unknown_section(const am_section *s, am_err *e)
{
    const char *words[64];
    int n = 0;
    for (const am_layer_type *const *t = am_layer_types(); *t && n < 61; t++)
        words[n++] = (*t)->name;
    words[n++] = "net";
    words[n++] = "mix";
    words[n++] = "momentum_teacher";
    const char *near = am_nearest(s->name, words, n);
    if (!strcmp(s->name, "cost"))
        return am_fail(e, AM_EINPUT, s->loc,
                       "[cost] is not needed: [softmax] already is the loss (in Darknet the two "
                       "together double the gradient); delete this section");
    if (near)
        return am_fail(e, AM_EINPUT, s->loc, "no section is called [%s]; did you mean [%s]?",
                       s->name, near);
    return am_fail(e, AM_EINPUT, s->loc, "no section is called [%s]; see: automix help", s->name);
}

static am_status add_layer(am_net *net, const am_section *s, am_err *e)
{
    am_layer *l = &net->layer[net->layers];
    const am_layer_type *t = am_layer_find(s->name);
    am_layer_common common = {0};
    if (!t) return unknown_section(s, e);
    *l = (am_layer){.type = t, .loc = s->loc, .index = net->layers};
    l->options = am_new(&net->mem, t->options ? t->options : 1);
    if (!l->options) return am_fail(e, AM_ENOMEM, s->loc, "out of memory");
    am_names names = {name_of, net, l->index, l->index};
    AM_TRY(am_keys_read(t->keys, l->options, am_layer_common_keys, &common, s, &names, e));
    if (common.name[0]) {
        if (!common.name[strspn(common.name, "+-0123456789")])
            return am_fail(
                e, AM_EINPUT, s->loc,
                "name=%s: a whole number would be taken for a layer's place; give a word",
                common.name);
        int other = am_net_find(net, common.name);
        if (other >= 0)
            return am_fail(e, AM_EINPUT, s->loc, "name=%s: that name was already given on line %d",
                           common.name, net->layer[other].loc.line);
        l->name = common.name;
    }
    l->learning_rate = common.learning_rate;
    l->fresh = common.fresh;
    l->in[0] = common.input >= 0 ? common.input : l->index - 1;
    l->ins = 1;
    net->layers++; /* close() is owed from here on */
    AM_TRY(t->setup(net, l, e));
    if (l->out.c < 1 || l->out.h < 1 || l->out.w < 1)
        return am_fail(e, AM_EINPUT, s->loc,
                       "[%s] would put out %dx%dx%d: its input is too small for it", s->name,
                       l->out.c, l->out.h, l->out.w);
    if (l->out.c > 1 << 24 || l->out.h > 1 << 16 || l->out.w > 1 << 16 ||
        (double)l->out.c * l->out.h * l->out.w > 1u << 31)
        return am_fail(e, AM_EINPUT, s->loc,
                       "[%s] would put out %dx%dx%d for each image, more than any memory holds",
                       s->name, l->out.c, l->out.h, l->out.w);
    for (int i = 0; i < l->ins; i++) /* a mask lies in planes, not as an activation */
        if (l->in[i] > 0 && !strcmp(net->layer[l->in[i]].type->name, "mixblock"))
            return am_fail(
                e, AM_EINPUT, s->loc,
                "[%s] reads a [mixblock], whose mask is for [mix] alone; give it input=", s->name);
    for (int i = 0; i < l->params; i++) {
        size_t *total = l->param[i].role == AM_LEARNED ? &net->learned : &net->buffers;
        l->param[i].offset = *total;
        *total += l->param[i].count;
    }
    l->prepared_at = net->prepared;
    net->prepared += (l->prepared + 15) & ~(size_t)15;
    for (int i = 0; i < l->ins; i++) net->layer[l->in[i]].readers++;
    return AM_OK;
}

/* The scale that fan_out starts at 0 is that of the last normalisation of each residual branch.  A
 * [shortcut] reads two layers; walk both back to where they meet, counting convolutions: the branch
 * is the longer way, the other one is the identity or a projection. */
static void find_residual_branches(am_net *net)
{
    for (int i = 1; i < net->layers; i++) {
        const am_layer *s = &net->layer[i];
        if (strcmp(s->type->name, "shortcut") || s->ins < 2) continue;
        int at[2] = {s->in[0], s->in[1]}, convs[2] = {0, 0};
        while (at[0] != at[1]) {
            int k = at[0] > at[1] ? 0 : 1;
            const am_layer *l = &net->layer[at[k]];
            convs[k] += !strcmp(l->type->name, "convolutional");
            at[k] = l->in[0];
        }
        if (convs[0] == convs[1]) continue;
        am_layer *end = &net->layer[s->in[convs[1] > convs[0]]];
        if (end->fusable) end->zero_init = 1;
    }
}

/* Where a key was given, for faults that only show when several keys are looked at together. */
static am_loc key_at(const am_section *s, const char *key)
{
    for (int i = 0; i < s->lines; i++)
        if (!strcmp(s->line[i].key, key)) return s->line[i].loc;
    return s->loc;
}

am_status am_net_open(am_net *net, am_backend *be, const am_cfg *c, am_err *e)
{
    *net = (am_net){.be = be, .file = c->file};
    am_net_options *o = &net->options;
    const am_section *first = c->sections ? &c->section[0] : NULL;
    if (!first || strcmp(first->name, "net"))
        return am_fail(e, AM_EINPUT, first ? first->loc : (am_loc){c->file, 1},
                       "the first section must be [net]");
    AM_TRY(am_keys_read(am_net_keys, o, NULL, NULL, first, NULL, e));
    if (o->batch % o->subdivisions)
        return am_fail(e, AM_EINPUT, key_at(first, "subdivisions"),
                       "batch=%d cannot be cut into subdivisions=%d equal parts", o->batch,
                       o->subdivisions);
    if (o->steps.count != o->scales.count)
        return am_fail(e, AM_EINPUT, key_at(first, o->scales.count ? "scales" : "steps"),
                       "steps= has %d numbers and scales= has %d; they go in pairs", o->steps.count,
                       o->scales.count);
    if (o->policy == 2 && !o->steps.count)
        return am_fail(
            e, AM_EINPUT, key_at(first, "policy"),
            "policy=steps needs steps= and scales=, such as steps=1000,2000 and scales=0.1,0.1");
    if (o->mean.count != o->channels || o->std.count != o->channels) {
        if (o->channels != 3 && o->mean.count == 3 && o->std.count == 3 &&
            o->channels <= AM_MAX_LIST)
            for (int i = 0; i < o->channels; i++) o->mean.at[i] = 0, o->std.at[i] = 1;
        else
            return am_fail(
                e, AM_EINPUT, key_at(first, o->mean.count != o->channels ? "mean" : "std"),
                "mean= and std= need one number for each of the %d channels", o->channels);
    }
    if (o->crop_scale.count != 2 || o->crop_ratio.count != 2 ||
        o->crop_scale.at[0] > o->crop_scale.at[1] || o->crop_ratio.at[0] > o->crop_ratio.at[1])
        return am_fail(
            e, AM_EINPUT,
            key_at(first, o->crop_scale.count != 2 || o->crop_scale.at[0] > o->crop_scale.at[1]
                              ? "crop_scale"
                              : "crop_ratio"),
            "crop_scale= and crop_ratio= need two numbers each, the least first");
    for (const char *w = o->decay_exempt; *w;) {
        w += strspn(w, " ");
        size_t n = strcspn(w, ", ");
        if (!((n == 4 && !strncmp(w, "norm", 4)) || (n == 4 && !strncmp(w, "bias", 4))))
            return am_fail(e, AM_EINPUT, key_at(first, "decay_exempt"),
                           "decay_exempt=%s: choose from norm, bias, or norm,bias",
                           o->decay_exempt);
        w += n;
        w += strspn(w, " ");
        if (*w == ',') w++;
    }
    net->layer = am_new(&net->mem, ((size_t)c->sections + 1) * sizeof *net->layer);
    if (!net->layer) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    net->input = (am_shape){1, o->channels, o->height, o->width};
    net->layer[0] = (am_layer){.name = "image", .loc = first->loc, .out = net->input};
    net->layers = 1;
    for (int i = 1; i < c->sections; i++) {
        if (!strcmp(c->section[i].name, "net"))
            return am_fail(e, AM_EINPUT, c->section[i].loc,
                           "there is a second [net]; the first is on line %d", first->loc.line);
        if (is_layer(&c->section[i])) AM_TRY(add_layer(net, &c->section[i], e));
    }
    if (net->layers == 1)
        return am_fail(e, AM_EINPUT, first->loc, "there are no layers after [net]");
    find_residual_branches(net);
    return AM_OK;
}

size_t am_net_parameters(const am_net *net, int with_mixblock)
{
    size_t total = 0;
    for (int i = 1; i < net->layers; i++)
        for (int k = 0; k < net->layer[i].params; k++)
            if (net->layer[i].param[k].role == AM_LEARNED &&
                (with_mixblock || strcmp(net->layer[i].type->name, "mixblock")))
                total += net->layer[i].param[k].count;
    return total;
}

void am_net_close(am_net *net)
{
    for (int i = 1; i < net->layers; i++)
        if (net->layer[i].type->close) net->layer[i].type->close(net, &net->layer[i]);
    am_arena_free(&net->mem);
    *net = (am_net){0};
}

/* help.c: what the tables that parse know, told to a person.  cfg/README.md is made of the same rows. */
#include <string.h>
#include "session.h"

typedef struct topic {
    const char *name, *help, *paper, *example;
    const am_key *keys, *more;
} topic;

static const char *const commands[][2] = {
    {"classifier train",
     "DATA CFG [WEIGHTS] [-gpus 0,1] [-seed N] [-epochs N] [-mix METHOD] [-resume] [-clear] "
     "[-backend auto|cpu|simd|cuda] [-threads N] [-plans FILE|rule] [-uncaptured]"},
    {"classifier valid",
     "DATA CFG WEIGHTS [-net teacher|student] [-head one|mix] [-bins FILE.csv]        ECE: "
     "calibration error; gap: confidence - accuracy; bins: for the reliability diagram"},
    {"classifier predict", "DATA CFG WEIGHTS [IMAGE ...] [-t TOP]        images from the arguments "
                           "or, with none, from standard input"},
    {"classifier sheet", "DATA CFG WEIGHTS OUT.png [-lambda 0,0.25,0.5,0.75,1] [-mix METHOD|all] "
                         "[-n PAIRS]        all: every method side by side"},
    {"classifier masks",
     "DATA CFG WEIGHTS        overlap of learned masks with the true silhouettes of a shapes set"},
    {"classifier replay", "CFG IN.safetensors OUT.safetensors"},
    {"net", "CFG        the layer table: shapes, parameters, multiply-adds, memory"},
    {"bench", "CFG [-steps N] [-batch N] [-precision P] [-mix METHOD|all] [-eval]        times "
              "training steps, or with -eval inference; one JSON object, or one a method"},
    {"data shapes", "DIR [-train N] [-valid N] [-size PIXELS] [-seed N]        the generated image "
                    "set, with DIR/shapes.data"},
    {"help", "[SECTION|METHOD|COMMAND]"},
};

/* [include] is read before there are rows (cfg.c). */
static const am_key no_keys[] = {{0}};

/* The nth thing that has keys: sections, layers, methods, .data files. */
static int topic_at(int n, topic *out)
{
    if (n == 0)
        return *out = (topic){"net",
                              "the input, the learning, the augmentation; always the first section",
                              NULL,
                              "[net]\nbatch=100\nlearning_rate=0.1\npolicy=cosine\nepochs=200\n",
                              am_net_keys,
                              NULL},
               1;
    if (n == 1)
        return *out = (topic){"mix",
                              "how images are mixed; each method has keys of its own besides",
                              NULL,
                              "[mix]\nmethod=automix\n",
                              am_mix_common_keys,
                              NULL},
               1;
    if (n == 2)
        return *out = (topic){"momentum_teacher",
                              "a slow copy of the network follows the student, and is the one that "
                              "is scored",
                              NULL,
                              "[momentum_teacher]\nmomentum=0.999\n",
                              am_teacher_keys,
                              NULL},
               1;
    if (n == 3)
        return *out = (topic){"data",
                              "what a .data file says",
                              NULL,
                              "classes=100\ntrain=data/cifar-100-binary/train.bin\nvalid=data/"
                              "cifar-100-binary/test.bin\nbackup=backup\n",
                              am_data_keys,
                              NULL},
               1;
    if (n == 4)
        return *out = (topic){"include",
                              "stands for the text of another file, file=NAME, looked up beside "
                              "this one",
                              NULL,
                              "[include]\nfile=body/resnet18.layers\n",
                              no_keys,
                              NULL},
               1;
    n -= 5;
    for (int i = 0; am_layer_types()[i]; i++, n--)
        if (n == 0) {
            const am_layer_type *t = am_layer_types()[i];
            *out = (topic){t->name, t->help, NULL, t->example, t->keys, am_layer_common_keys};
            return 1;
        }
    for (int i = 0; am_methods()[i]; i++, n--)
        if (n == 0) {
            const am_method *m = am_methods()[i];
            *out = (topic){m->name, m->help, m->paper, m->example, m->keys, am_mix_common_keys};
            return 2;
        }
    return 0;
}

static void overview(FILE *to)
{
    topic t;
    fprintf(to, "automix trains image classifiers with learned mixing of samples (AutoMix) and the "
                "methods it is compared with.\n\n");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(to, "    automix %s %s\n", commands[i][0], commands[i][1]);
    fprintf(to, "\nTry, without any data of your own:\n\n    automix data shapes data/shapes\n    "
                "automix classifier train data/shapes/shapes.data cfg/shapes_automix.cfg\n");
    fprintf(to, "\nautomix help WORD tells what a section, layer or method may say:\n");
    for (int n = 0; topic_at(n, &t); n++) fprintf(to, "    %-18s %s\n", t.name, t.help);
    fprintf(to, "\nBackends:\n");
    for (int i = 0; am_backends()[i]; i++)
        fprintf(to, "    %-18s %s\n", am_backends()[i]->name, am_backends()[i]->help);
}

static void show(const topic *t, int method, FILE *to)
{
    if (method)
        fprintf(to, "### method=%s\n\n%s.%s%s%s\n\n", t->name, t->help, t->paper[0] ? " " : "",
                t->paper, t->paper[0] ? "." : "");
    else
        fprintf(to, "### %s%s%s\n\n%s.\n\n", strcmp(t->name, "data") ? "[" : "", t->name,
                strcmp(t->name, "data") ? "]" : ": .data files", t->help);
    if (t->example) fprintf(to, "```\n%s```\n\n", t->example);
    if (t->keys[0].name) {
        fprintf(to, "| key | default | values | meaning |\n| --- | --- | --- | --- |\n");
        am_keys_print(t->keys, to);
        fputc('\n', to);
    }
}

am_status am_help(const char *word, FILE *to, am_err *e)
{
    const char *words[128];
    int count = 0;
    topic t;
    if (!word) {
        overview(to);
        return AM_OK;
    }
    for (int n = 0, kind; (kind = topic_at(n, &t)); n++) {
        if (count < 100) words[count++] = t.name;
        if (strcmp(t.name, word)) continue;
        show(&t, kind == 2, to);
        if (t.more) {
            fprintf(to,
                    "Common to all %s:\n\n| key | default | values | meaning |\n| --- | --- | --- "
                    "| --- |\n",
                    kind == 2 ? "methods" : "layers");
            am_keys_print(t.more, to);
        }
        return AM_OK;
    }
    int found = 0;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const char *last = strrchr(commands[i][0], ' ');
        if (count < 128) words[count++] = last ? last + 1 : commands[i][0];
        if (!strncmp(commands[i][0], word, strlen(word)) || (last && !strcmp(last + 1, word)))
            found = fprintf(to, "    automix %s %s\n", commands[i][0], commands[i][1]) > 0;
    }
    if (found) return AM_OK;
    const char *near = am_nearest(word, words, count);
    if (near)
        return am_fail(e, AM_EUSAGE, AM_NOPLACE, "there is no help on '%s'; did you mean '%s'?",
                       word, near);
    return am_fail(e, AM_EUSAGE, AM_NOPLACE,
                   "there is no help on '%s'; automix help lists what there is", word);
}

void am_reference(FILE *to)
{
    topic t;
    fprintf(
        to,
        "# What a cfg may say\n\nMade by `make docs` from the tables that parse; `automix help "
        "WORD` prints the same.\n\n"
        "A cfg is a list of sections, `[net]` first, then layers from the image to the heads. `#` "
        "starts a comment. Every layer takes `name=`, and reads the\n"
        "layer above unless `input=` says another. A layer is meant by its name, or by Darknet's "
        "number: from 0 for the first after `[net]`, or\n"
        "back from here with -1, -2, ... `[include] file=NAME` stands for the text of another "
        "file, looked up\n"
        "beside this one. [PAPER.md](PAPER.md) lists the networks of the paper's experiments.\n\n"
        "Unknown words, bad numbers, repeated keys and references to nothing are errors that name "
        "the file, the line and the likely word.\n\n"
        "## Common to all layers\n\n| key | default | values | meaning |\n| --- | --- | --- | --- "
        "|\n");
    am_keys_print(am_layer_common_keys, to);
    fprintf(to, "\n## Sections and layers\n\n");
    for (int n = 0, kind, methods = 0; (kind = topic_at(n, &t)); n++) {
        if (kind == 2 && !methods++) fprintf(to, "## Methods of [mix]\n\n");
        show(&t, kind == 2, to);
    }
}

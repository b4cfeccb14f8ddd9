/* What kvasir verify has measured of the quality of a model's KV types, as kvasir plan and tune read it: a JSON document for each
   model, "kvasir.quality/1" (docs/verify.md), in quality/ of kvasir's folder of settings. Some models' come with the
   command. */
#ifndef KVASIR_CLI_FILES_QUALITY_FILE_H
#define KVASIR_CLI_FILES_QUALITY_FILE_H

#include "cli/common/common.h"

enum { QUALITY_TYPE_BYTES = 16, QUALITY_MOST = 64, QUALITY_LIST_BYTES = 512 };

/* One KV type beside f16, at one depth. A number that was not measured is NAN. */
typedef struct quality_record {
    char kv[QUALITY_TYPE_BYTES], date[DATE_BYTES]; /* "q8:q4", UTC */
    int depth;                                     /* tokens that the text was read to: 2,048, 8,192 or 30,720 */
    double kld, kld_median, kld_p999;              /* over the text; nats */
    double kld_floor;                              /* of f16 beside itself, in other pieces */
    double same_top, ppl, ppl_ref;                 /* over the text; share */
    double forced_kld, forced_same_top;            /* over the forced decode */
    int tokens, forced, needles, needles_found; /* tokens scored, decoded; needles that f16 finds, that the type does */
    int deepest;                                /* tokens in front of the farthest needle's question */
    int holds;                                  /* every row was within its limit */
    int shipped;                                /* it came with the command */
} quality_record;

typedef struct quality {
    quality_record type[QUALITY_MOST];
    int n;
} quality;

/* What is known of a model, which may have been opened by its header alone: what was measured here, and of other types what
   came with the command. A file that cannot be used is noted on stderr and counts as none. */
void quality_read(const kvasir_model_info *m, quality *out);
/* What is known of a type at the greatest depth; NULL: nothing. */
const quality_record *quality_find(const quality *q, const char *kv);
/* The types that do not hold at some depth, as kvasir_plan_options.unusable wants them; "" without any. */
const char *quality_unusable(const quality *q, char to[QUALITY_LIST_BYTES]);
/* Whether that can be written, without which hours of measuring would be lost. Makes its folder. */
kvasir_status quality_check(const kvasir_model_info *m);
/* Adds a record or replaces that of its type and depth, in the user's file, whose path is put into `path`. */
kvasir_status quality_store(const kvasir_model_info *m, const quality_record *r, char *path, size_t n);
json_t *quality_record_json(const quality_record *r);

#endif

/* Shared between the files of kvasir plan. */
#ifndef KVASIR_CLI_PLAN_H
#define KVASIR_CLI_PLAN_H

#include "cli/session.h"

/* The document; for one model its fields stand at the top, for several in "models", with "totals". */
json_t *plan_document(const kvasir_plan *p);

#endif

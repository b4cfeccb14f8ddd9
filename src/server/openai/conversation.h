/* Conversations of OpenAI's requests, fitted to a chat template: what the template has no place for is found out and
   said, not dropped. */
#ifndef KVASIR_SERVER_OPENAI_CONVERSATION_H
#define KVASIR_SERVER_OPENAI_CONVERSATION_H

#include "server/request/request.h"

/* The prompt's text of a request with messages: 0, or the status. *text is the caller's (kvasir_free); what had no
   effect is added to the list. */
int chat_text(const request_rules *r, const json_t *body, char **text, size_t *n, char *ignored, http_error *e);

/* What a failed call into the library means for the client. Returns the status. */
int refuse_status(http_error *e, kvasir_status status, const char *param);

/* ---- messages.c ---- */

/* The messages, as templates want them. NULL: *e says why. */
json_t *read_messages(const json_t *body, http_error *e);

/* ---- marks.c ---- */

/* Renders the template with these variables. *text is the caller's (kvasir_free). */
kvasir_status render_variables(const request_rules *r, const json_t *variables, char **text, size_t *n);
/* Changes the variables' messages into what the template can show: messages of developers become the system's where it
   does not know the role, arguments of calls a text where it wants one. `body` has the messages as they were given.
   0, or the status where it leaves out something that was said. */
int fit_messages(const request_rules *r, json_t *variables, const json_t *body, char *ignored, http_error *e);

#endif

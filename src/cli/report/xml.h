/* Text in XML and HTML. */
#ifndef KVASIR_CLI_REPORT_XML_H
#define KVASIR_CLI_REPORT_XML_H

#include <stdio.h>

/* Writes a text that may hold anything, between tags or between double quotes. Control characters become spaces, bytes that
   are not UTF-8 become U+FFFD. NULL is empty. */
void xml_text(FILE *f, const char *s);

#endif

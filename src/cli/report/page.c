#include "cli/report/page.h"
#include "base/cores.h"
#include "cli/common/common.h"
#include "cli/report/chart.h"
#include "cli/report/xml.h"
#include "system/system.h"

#include <string.h>

/* Of two drawings of a chart, one for each width, one is shown. A closed fold is opened for paper where the browser can. */
static const char style[] =
    ":root{color-scheme:light dark;--ground:#fff;--ink:#1c1e21;--soft:#555b63;--rule:#d5d9de;--good:#00693f;"
    "--bad:#b3261e}\n"
    "@media screen and (prefers-color-scheme:dark){:root{--ground:#16181c;--ink:#e8eaed;--soft:#a8b0ba;--rule:#3a3f46;"
    "--good:#5fd39a;--bad:#ff8f85}}\n"
    "*{box-sizing:border-box}\n"
    "body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--ground);max-width:1120px;"
    "margin:0 auto;padding:1.5em 2em 3em}\n"
    "h1{font-size:1.5em;line-height:1.25;margin:0 0 .7em}\nh2{font-size:1.15em;margin:1.6em 0 .5em}\n"
    "h3{font-size:1em;margin:1.2em 0 .3em}\nh1,h2,p,dd,li{overflow-wrap:anywhere}\n"
    ".verdict{font-size:1.2em;font-weight:600;margin:0 0 1em;padding:.1em 0 .1em .8em;"
    "border-left:5px solid var(--soft)}\n"
    ".good{border-color:var(--good)}.bad{border-color:var(--bad)}\n"
    "dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.2em 1.2em;margin:1em 0;font-size:.94em}\n"
    "dt{color:var(--soft)}\ndd{margin:0;unicode-bidi:isolate}\n"
    ".chart{display:block;width:100%;height:auto}.narrow{display:none}\n"
    ".scroll{overflow-x:auto;margin:.5em 0}\n"
    ".scroll:focus-visible,summary:focus-visible{outline:2px solid var(--soft);outline-offset:2px}\n"
    "table{border-collapse:collapse;font-size:.9em;font-variant-numeric:tabular-nums}\n"
    "th,td{padding:.3em .8em;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}\n"
    "thead th{color:var(--soft);font-weight:600;vertical-align:bottom}\n"
    "tbody th{font-weight:400}\nth.text,td.text,td.error{text-align:left}\n"
    "tr>:first-child{position:sticky;left:0;background:var(--ground);padding-left:0;"
    "min-width:6em}\n.key{position:sticky;left:6em;background:var(--ground)}\n"
    "td.text,td.error{white-space:normal;min-width:20em}\n.ok{color:var(--good)}.failed,.error{color:var(--bad)}\n"
    ".failed{font-weight:600}\nul{padding-left:1.3em}\nli{margin:.2em 0}\nsummary{cursor:pointer;padding:.3em 0}\n"
    "@media(max-width:880px){body{padding:1em 1em 2em}.wide{display:none}.narrow{display:block}\n"
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr));gap:0 1em}\n"
    ".chart{max-width:460px}}\n"
    "@media(max-width:480px){h1{font-size:1.25em}.verdict{font-size:1.1em}dl{gap:.2em .8em}th,td{padding:.3em .6em}}\n"
    "@page{margin:14mm}\n"
    "@media print{body{padding:0;font-size:10pt;max-width:none}section,tr{break-inside:avoid}h2,h3{break-after:avoid}\n"
    ".charts{display:block}.wide{display:block}.narrow{display:none}.chart{max-width:none}\n"
    ".scroll{overflow:visible}table{font-size:6.8pt}th,td{padding:.2em "
    ".5em}td.text,td.error,tr>:first-child{min-width:0}\n"
    "thead{display:table-header-group}details::details-content{content-visibility:visible;block-size:auto}}\n";

void page_begin(FILE *f, const char *name, const char *says, page_verdict kind, const char *verdict)
{
    static const char *const kinds[] = {[PAGE_NEUTRAL] = "", [PAGE_GOOD] = " good", [PAGE_BAD] = " bad"};
    (void)fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                "<meta name=\"color-scheme\" content=\"light dark\">\n<title>",
                f);
    xml_text(f, name);
    (void)fprintf(f, ": %s</title>\n<style>\n%s%s</style>\n</head>\n<body>\n<main>\n<h1><bdi>", says, style,
                  chart_style());
    xml_text(f, name);
    (void)fprintf(f, "</bdi>: %s</h1>\n<p class=\"verdict%s\">", says, kinds[kind]);
    xml_text(f, verdict);
    (void)fputs("</p>\n", f);
}

void page_end(FILE *f)
{
    (void)fputs("</main>\n</body>\n</html>\n", f);
}

/* ---- facts ---- */

void page_fact(FILE *f, const char *name, const char *value)
{
    (void)fprintf(f, "<dt>%s</dt><dd>", name);
    xml_text(f, value);
    (void)fputs("</dd>\n", f);
}

static void put_date(FILE *f)
{
    char now[DATE_BYTES];
    date_text(now);
    if (strlen(now) < 16) return; /* the clock makes no date */
    (void)fprintf(f, "<dt>date</dt><dd><time datetime=\"%s\">%.10s %.5s UTC</time></dd>\n", now, now, now + 11);
}

static void put_machine(FILE *f, const kvasir_engine_info *info, double read_bytes_per_s)
{
    system_memory m;
    const int cores = cpu_count();
    system_memory_read("", &m);
    (void)fputs("<dt>machine</dt><dd>", f);
    xml_text(f, info->cpu_model[0] ? info->cpu_model : "a processor without a name");
    (void)fputs(", ", f);
    xml_text(f, info->cpu_level);
    (void)fprintf(f, "; %d thread%s on %d usable core%s", info->n_threads, info->n_threads == 1 ? "" : "s", cores,
                  cores == 1 ? "" : "s");
    if (m.total) (void)fprintf(f, "; %s of memory", bytes_text(m.total));
    if (m.limit && m.limit < m.total) (void)fprintf(f, ", of which %s may be used", bytes_text(m.limit));
    if (read_bytes_per_s > 0) (void)fprintf(f, ", read at %.1f GB/s", read_bytes_per_s * 1e-9);
    (void)fputs("</dd>\n", f);
}

void page_facts_begin(FILE *f, const kvasir_engine_info *info, double read_bytes_per_s)
{
    (void)fputs("<dl>\n", f);
    put_date(f);
    put_machine(f, info, read_bytes_per_s);
}

void page_facts_end(FILE *f)
{
    char text[64];
    (void)snprintf(text, sizeof text, "kvasir %s", kvasir_version());
    page_fact(f, "made by", text);
    (void)fputs("</dl>\n", f);
}

/* ---- tables ---- */

void page_table_begin(FILE *f, const char *label, const char *summary, int n_rows, const page_column *columns,
                      int n_columns)
{
    if (n_rows > PAGE_FOLD_ROWS) {
        (void)fputs("<details>\n<summary>", f);
        xml_text(f, summary);
        (void)fputs("</summary>\n", f);
    }
    (void)fputs("<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"", f);
    xml_text(f, label);
    (void)fputs("\">\n<table>\n<thead><tr>", f);
    for (int i = 0; i < n_columns; i++)
        (void)fprintf(f, "<th scope=\"col\"%s>%s</th>",
                      columns[i].is_text  ? " class=\"text\""
                      : columns[i].is_key ? " class=\"key\""
                                          : "",
                      columns[i].title);
    (void)fputs("</tr></thead>\n<tbody>\n", f);
}

void page_table_end(FILE *f, int n_rows)
{
    (void)fprintf(f, "</tbody>\n</table>\n</div>\n%s", n_rows > PAGE_FOLD_ROWS ? "</details>\n" : "");
}

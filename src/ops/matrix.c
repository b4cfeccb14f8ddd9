#include "ops/matrix.h"
#include "base/checked.h"

#include <string.h>

enum { DATA_ALIGN = 64 };

void matrix_shape(matrix *m, quant_type type, int rows, int k)
{
    const quant_traits *traits = quant_traits_of(type);
    *m = (matrix){.rows = rows, .k = k, .type = type, .kind = panel_kind_of(type)};
    if (m->kind >= 0)
        m->panel_bytes = panel_bytes((panel_kind)m->kind, k);
    else
        m->panel_bytes = PANEL_ROWS * ((size_t)k / (size_t)traits->block_elements * (size_t)traits->block_bytes);
}

size_t matrix_bytes(const matrix *m)
{
    return align_up((size_t)matrix_panels(m) * m->panel_bytes, DATA_ALIGN);
}

matrix matrix_at(const matrix_stack *s, int i)
{
    matrix m = s->first;
    m.data += (size_t)i * matrix_bytes(&s->first);
    if (m.factor) m.factor += i;
    return m;
}

void matrix_pack(matrix *m, int panel, const void *rows, size_t row_bytes)
{
    int n = min_int(PANEL_ROWS, m->rows - panel * PANEL_ROWS);
    unsigned char *to = m->data + (size_t)panel * m->panel_bytes;
    if (m->kind >= 0)
        panel_pack((panel_kind)m->kind, rows, row_bytes, n, m->k, to);
    else
        memcpy(to, rows, (size_t)n * row_bytes);
}

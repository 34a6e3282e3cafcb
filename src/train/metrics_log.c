// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/metrics_log.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "dpo/store/publish.h"

/* Whether a line is whole and of a step that stays. */
static bool stays(const char *line, int64_t n_bytes, int64_t step)
{
    dpo_json *record;
    int64_t line_step = 0;

    if (dpo_json_parse("metrics.jsonl", line, n_bytes, DPO_JSON_STRICT, &record) != DPO_OK)
        return false;
    dpo_status status = dpo_json_get_int(record, "metrics.jsonl", "step", 0, 1LL << 53, &line_step);

    dpo_json_destroy(&record);
    return status == DPO_OK && line_step <= step;
}

static dpo_status keep_lines(const dpo_buffer *text, int64_t step, dpo_buffer *kept)
{
    const char *line = dpo_buffer_text(text);

    for (;;) {
        const char *end = strchr(line, '\n');

        if (end == NULL) return DPO_OK;
        if (stays(line, end - line, step)) DPO_TRY(dpo_buffer_append(kept, line, end - line + 1));
        line = end + 1;
    }
}

static dpo_status drop_lines(const char *path, int64_t step)
{
    dpo_buffer text = {0};
    dpo_buffer kept = {0};
    dpo_status status = dpo_buffer_append_file(&text, path);

    if (status == DPO_OK) status = keep_lines(&text, step, &kept);
    if (status == DPO_OK && kept.size_bytes < text.size_bytes)
        status = dpo_file_publish(path, dpo_buffer_text(&kept), kept.size_bytes);
    dpo_buffer_destroy(&text);
    dpo_buffer_destroy(&kept);
    return status;
}

dpo_status dpo_metrics_log_open(const char *path, int64_t step, FILE **stream)
{
    *stream = NULL;
    if (access(path, F_OK) == 0) DPO_TRY(drop_lines(path, step));
    *stream = fopen(path, "ae");
    if (*stream != NULL) return DPO_OK;
    return DPO_FAIL(DPO_EIO, "%s: cannot be written: %s", path, strerror(errno));
}

dpo_status dpo_metrics_log_write(FILE *stream, const char *path, const dpo_json *record)
{
    dpo_buffer line = {0};
    dpo_status status = dpo_json_print(record, false, &line);

    if (status == DPO_OK) status = dpo_buffer_append_text(&line, "\n");
    if (status == DPO_OK && (fwrite(dpo_buffer_text(&line), 1, (size_t)line.size_bytes, stream) !=
                                 (size_t)line.size_bytes ||
                             fflush(stream) != 0))
        status = DPO_FAIL(DPO_EIO,
                          "%s: cannot be written: %s; free some space and start again, the "
                          "run continues from its newest checkpoint",
                          path, strerror(errno));
    dpo_buffer_destroy(&line);
    return status;
}

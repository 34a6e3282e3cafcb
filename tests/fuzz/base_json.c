// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "dpo/base/json.h"
#include "dpo/base/memory.h"
#include "fuzz/fuzz_target.h"

const char *const dpo_fuzz_seeds[] = {
    "{\"a\": [1, -2.5e3, true, null], \"b\": {\"c\": \"\\u00e9\\ud83d\\ude00\\n\"}}",
    "[\n  // comment\n  \"x\", /* and */ {}\n]",
    NULL,
};

/* Whatever is accepted is written so that it is accepted again and written the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    dpo_json *root = NULL;
    dpo_json *again = NULL;
    dpo_buffer once = {0};
    dpo_buffer twice = {0};

    if (dpo_json_parse("fuzz", (const char *)data, (int64_t)n_bytes, DPO_JSON_COMMENTS, &root) ==
            DPO_OK &&
        dpo_json_print(root, true, &once) == DPO_OK) {
        dpo_status status = dpo_json_parse("again", dpo_buffer_text(&once), once.size_bytes,
                                           DPO_JSON_STRICT, &again);

        if (status == DPO_OK) status = dpo_json_print(again, true, &twice);
        DPO_ASSERT(status == DPO_OK);
        DPO_ASSERT(strcmp(dpo_buffer_text(&once), dpo_buffer_text(&twice)) == 0);
    }
    dpo_json_destroy(&root);
    dpo_json_destroy(&again);
    dpo_buffer_destroy(&once);
    dpo_buffer_destroy(&twice);
    return 0;
}

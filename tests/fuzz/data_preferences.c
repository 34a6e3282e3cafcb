// SPDX-License-Identifier: Apache-2.0
#include "dpo/data/preferences.h"
#include "fuzz/fuzz_target.h"

const char *const dpo_fuzz_seeds[] = {
    "{\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \"r\", \"score_chosen\": 1.5}",
    "{\"id\": 1, \"prompt\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", "
    "\"content\": \"\\u00e9\"}], \"chosen\": \"c\", \"rejected\": [{\"role\": \"assistant\", "
    "\"content\": \"r\"}]}",
    NULL,
};

/* Any bytes are an example or are refused; what was read keeps its invariant, and nothing is left behind. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    dpo_preference preference;
    dpo_status status =
        dpo_preference_read("fuzz", (const char *)data, (int64_t)n_bytes, &preference);

    DPO_ASSERT(status == DPO_OK || status == DPO_EDATA);
    DPO_ASSERT((status == DPO_OK) == (preference.n_responses > 0));
    for (int64_t e = 0; e < preference.n_edges; e++) {
        DPO_ASSERT(preference.edges[e].chosen != preference.edges[e].rejected);
        DPO_ASSERT(preference.responses[preference.edges[e].chosen].content != NULL);
        DPO_ASSERT(preference.responses[preference.edges[e].rejected].content != NULL);
    }
    dpo_preference_destroy(&preference);
    return 0;
}

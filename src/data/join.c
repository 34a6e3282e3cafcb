// SPDX-License-Identifier: Apache-2.0
#include "join.h"

#include <math.h>
#include <string.h>

static token_origin origin_of(const token_share *share, int64_t example)
{
    return (token_origin){
        ((const int32_t *)share->arrays[TOKEN_ARRAY_example_source].data)[example],
        ((const int64_t *)share->arrays[TOKEN_ARRAY_example_line].data)[example]};
}

static double *score_at(const token_share *share, int64_t response)
{
    return (double *)share->arrays[TOKEN_ARRAY_response_score].data + response;
}

static dpo_status place_behind(token_joiner *joiner, int64_t n)
{
    const int64_t behind = -1;

    dpo_buffer_clear(&joiner->place);
    for (int64_t i = 0; i < n; i++)
        DPO_TRY(dpo_buffer_append(&joiner->place, &behind, sizeof behind));
    return DPO_OK;
}

/* Appends the responses that have no place, and gives them one. */
static dpo_status add_responses(token_joiner *joiner, const token_share *from, dpo_range responses,
                                int64_t last_prompt)
{
    const int64_t *prompts = from->arrays[TOKEN_ARRAY_response_prompt].data;
    int64_t *place = joiner->place.data;

    for (int64_t r = responses.begin; r < responses.end; r++, place++) {
        if (*place >= 0) continue;
        if (prompts[r] != last_prompt)
            DPO_TRY(token_share_add_prompt(joiner->to, token_share_prompt(from, prompts[r])));
        last_prompt = prompts[r];
        *place = joiner->to->n[N_RESPONSES];
        DPO_TRY(token_share_add_response(joiner->to, token_share_response(from, r),
                                         *score_at(from, r)));
    }
    return DPO_OK;
}

static dpo_status add_edges(token_joiner *joiner, const token_share *from, int64_t example)
{
    dpo_range edges = token_share_edges(from, example);
    int64_t first = token_share_responses(from, example).begin;
    const int64_t *place = joiner->place.data;
    const int64_t *chosen = from->arrays[TOKEN_ARRAY_edge_chosen].data;
    const int64_t *rejected = from->arrays[TOKEN_ARRAY_edge_rejected].data;
    const float *weight = from->arrays[TOKEN_ARRAY_edge_weight].data;

    for (int64_t e = edges.begin; e < edges.end; e++)
        DPO_TRY(token_share_add_edge(joiner->to, place[chosen[e] - first],
                                     place[rejected[e] - first], weight[e]));
    return DPO_OK;
}

dpo_status token_join_copy(token_joiner *joiner, const token_share *from, int64_t example)
{
    dpo_range responses = token_share_responses(from, example);

    DPO_TRY(place_behind(joiner, dpo_range_length(responses)));
    DPO_TRY(token_share_begin_example(joiner->to, origin_of(from, example)));
    DPO_TRY(add_responses(joiner, from, responses, -1));
    return add_edges(joiner, from, example);
}

static bool are_equal(token_run a, token_run b)
{
    return a.n == b.n && memcmp(a.ids, b.ids, (size_t)a.n * sizeof *a.ids) == 0;
}

static bool is_taken(const int64_t *place, int64_t n, int64_t response)
{
    for (int64_t i = 0; i < n; i++)
        if (place[i] == response) return true;
    return false;
}

/* Finds the responses that the last example has; returns how many it has not. */
static int64_t find_places(token_joiner *joiner, const token_share *from, dpo_range responses)
{
    dpo_range there = token_share_responses(joiner->to, joiner->to->n[N_EXAMPLES] - 1);
    int64_t *place = joiner->place.data;
    int64_t n_new = 0;

    for (int64_t i = 0; i < dpo_range_length(responses); i++) {
        token_run response = token_share_response(from, responses.begin + i);

        for (int64_t r = there.begin; r < there.end && place[i] < 0; r++)
            if (are_equal(token_share_response(joiner->to, r), response) && !is_taken(place, i, r))
                place[i] = r;
        n_new += place[i] < 0;
    }
    return n_new;
}

/* A response that had no score takes that of the one that is not added again. */
static void complete_scores(token_joiner *joiner, const token_share *from, dpo_range responses)
{
    const int64_t *place = joiner->place.data;

    for (int64_t r = responses.begin; r < responses.end; r++, place++)
        if (*place >= 0 && isnan(*score_at(joiner->to, *place)))
            *score_at(joiner->to, *place) = *score_at(from, r);
}

dpo_status token_join_add(token_joiner *joiner, const token_share *from, int64_t example)
{
    token_share *to = joiner->to;
    dpo_range responses = token_share_responses(from, example);
    int64_t n_there = dpo_range_length(token_share_responses(to, to->n[N_EXAMPLES] - 1));
    int64_t prompt =
        ((const int64_t *)from->arrays[TOKEN_ARRAY_response_prompt].data)[responses.begin];

    DPO_TRY(place_behind(joiner, dpo_range_length(responses)));
    if (n_there + find_places(joiner, from, responses) > DPO_GROUP_RESPONSES)
        return token_join_copy(joiner, from, example);
    complete_scores(joiner, from, responses);
    DPO_TRY(add_responses(joiner, from, responses, prompt));
    return add_edges(joiner, from, example);
}

void token_join_end(token_joiner *joiner)
{
    dpo_buffer_destroy(&joiner->place);
}

// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/nearest.h"
#include "unit_test.h"

static const char *const names[] = {"sigmoid", "sigmoid_norm", "ipo", "hinge", "label_smoothing"};

enum { N_NAMES = sizeof names / sizeof names[0] };

static void a_mistyped_word_finds_its_name(void **state)
{
    (void)state;
    static const struct {
        const char *word, *name;
    } cases[] = {
        {"sigmoid", "sigmoid"},
        {"sigmiod", "sigmoid"},
        {"Sigmoid", "sigmoid"},
        {"sigmoidnorm", "sigmoid_norm"},
        {"ip", "ipo"},
        {"hing", "hinge"},
        {"labelsmooth", "label_smoothing"},
        {"smoothing", NULL},
        {"xyz", NULL},
        {"", NULL},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *found = dpo_nearest(cases[i].word, names, N_NAMES);

        if (cases[i].name == NULL)
            assert_null(found);
        else
            assert_string_equal(found, cases[i].name);
    }
}

static void a_swap_of_neighbours_is_nearer_than_two_replacements(void **state)
{
    (void)state;
    static const char *const pair[] = {"abxy", "bacd"};

    assert_string_equal(dpo_nearest("abcd", pair, 2), "bacd");
}

static void of_equally_near_names_the_first_wins(void **state)
{
    (void)state;
    static const char *const pair[] = {"beta1", "beta2"};

    assert_string_equal(dpo_nearest("beta", pair, 2), "beta1");
}

static void no_names_have_no_nearest(void **state)
{
    (void)state;
    assert_null(dpo_nearest("beta", names, 0));
}

static void long_texts_are_compared_by_their_beginning(void **state)
{
    (void)state;
    char longest[300];
    const char *const one[] = {longest};

    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_ptr_equal(dpo_nearest(longest, one, 1), longest);
    assert_null(dpo_nearest(longest, names, N_NAMES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(a_mistyped_word_finds_its_name),
        UNIT_TEST(a_swap_of_neighbours_is_nearer_than_two_replacements),
        UNIT_TEST(of_equally_near_names_the_first_wins),
        UNIT_TEST(no_names_have_no_nearest),
        UNIT_TEST(long_texts_are_compared_by_their_beginning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

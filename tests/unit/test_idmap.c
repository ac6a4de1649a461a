/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "base/idmap.h"

#define IDS 300

/* The simplest map that can be right. */
static int model[IDS];
static int values[1000];

static void check_all(struct idmap *map)
{
	size_t cursor = 0, n = 0, expected = 0;

	for (uint64_t id = 0; id < IDS; id++) {
		expected += model[id] != 0;
		cr_assert_eq(idmap_get(map, id), model[id] ? &values[model[id]] : NULL);
	}
	while (idmap_next(map, &cursor))
		n++;
	cr_assert_eq(n, expected);
	cr_assert_eq(map->used, expected);
}

Test(idmap, behaves_as_a_naive_model)
{
	struct idmap map = {0};

	srand(1);
	for (int i = 0; i < 100000; i++) {
		uint64_t id = (uint64_t)rand() % IDS;
		int value = 1 + rand() % 999;

		/* Grows for a while, then shrinks. */
		if (rand() % 10 < (i / 10000 % 2 ? 3 : 7)) {
			cr_assert_eq(idmap_put(&map, id, &values[value]), 0);
			model[id] = value;
		} else {
			cr_assert_eq(idmap_remove(&map, id), model[id] ? &values[model[id]] : NULL);
			model[id] = 0;
		}
		if (i % 100 == 0)
			check_all(&map);
	}
	check_all(&map);
	idmap_done(&map);
	cr_assert_null(idmap_get(&map, 1));
	cr_assert_null(idmap_remove(&map, 1));
}

Test(idmap, zero_and_the_largest_id_are_ids)
{
	struct idmap map = {0};
	int a, b;

	cr_assert_eq(idmap_put(&map, 0, &a), 0);
	cr_assert_eq(idmap_put(&map, UINT64_MAX, &b), 0);
	cr_expect_eq(idmap_get(&map, 0), &a);
	cr_expect_eq(idmap_get(&map, UINT64_MAX), &b);
	cr_expect_eq(idmap_remove(&map, 0), &a);
	cr_expect_null(idmap_get(&map, 0));
	idmap_done(&map);
}

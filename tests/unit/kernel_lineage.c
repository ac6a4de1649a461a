/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel.h"

/* The truth about lineages, which govd only hears of. */

int node_new(struct kernel *kernel, int parent, int life)
{
	size_t size = (size_t)kernel->size_nodes;

	kernel->nodes = grow(kernel->nodes, (size_t)kernel->n_nodes, &size, sizeof(*kernel->nodes));
	kernel->size_nodes = (int)size;
	kernel->nodes[kernel->n_nodes] = (struct node){.parent = parent, .owner = -1, .life = life};
	return kernel->n_nodes++;
}

int mark_life(const struct kernel *kernel, uint64_t mark)
{
	for (size_t i = kernel->n_mark_lives; i-- > 0;)
		if (kernel->mark_lives[i].mark == mark)
			return kernel->mark_lives[i].life;
	return -1;
}

void mark_began(struct kernel *kernel, uint64_t mark, int life)
{
	if (mark_life(kernel, mark) >= 0)
		return;
	kernel->mark_lives =
		grow(kernel->mark_lives, kernel->n_mark_lives, &kernel->size_mark_lives, sizeof(*kernel->mark_lives));
	kernel->mark_lives[kernel->n_mark_lives++] = (struct mark_life){mark, life};
}

void task_make_lax(struct kernel *kernel, struct task *task)
{
	task->node = node_new(kernel, task->node, task->life);
	kernel->nodes[task->node].is_lax = true;
}

bool exec_is_untold(const struct kernel *kernel, const struct task *task, int node)
{
	const struct record *const lists[] = {kernel->ring, kernel->overflow};
	const size_t sizes[] = {kernel->n_ring, kernel->n_overflow};

	for (size_t i = 0; i < ELEMENTSOF(lists); i++)
		for (size_t j = 0; j < sizes[i]; j++)
			if (lists[i][j].kind == EVENT_EXEC && lists[i][j].pid == task->pid &&
			    lists[i][j].start == task->start && lists[i][j].node == node)
				return true;
	return false;
}

void task_come_along(struct kernel *kernel, struct task *task, int node)
{
	int first = -1;

	for (int i = task->node; i >= 0 && exec_is_untold(kernel, task, i); i = kernel->nodes[i].parent)
		first = i;
	if (first >= 0)
		kernel->nodes[first].parent = node;
	else
		task->node = node;
}

struct owner *task_owner(const struct kernel *kernel, const struct task *task, bool *ret_is_lax)
{
	bool is_lax = false;

	for (int i = task->node; i >= 0; i = kernel->nodes[i].parent) {
		const struct node *node = &kernel->nodes[i];

		is_lax |= node->is_lax;
		if (node->owner < 0)
			continue;
		if (!kernel->owners[node->owner].has_ended) {
			*ret_is_lax = is_lax;
			return &kernel->owners[node->owner];
		}
		/* It left an agent's group when that ended: whose it is now depends on when. */
		is_lax = true;
	}
	*ret_is_lax = is_lax;
	return NULL;
}

bool node_is_of(const struct kernel *kernel, int node, int owner)
{
	for (; node >= 0; node = kernel->nodes[node].parent)
		if (kernel->nodes[node].owner == owner)
			return true;
	return false;
}

bool task_may_be_in(const struct kernel *kernel, const struct task *task, int owner)
{
	if (node_is_of(kernel, task->node, owner))
		return true;
	for (int i = task->life; i >= 0; i = kernel->nodes[i].parent)
		if (kernel->owners[owner].life == i)
			return true;
	return false;
}

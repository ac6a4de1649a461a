/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "sense/bpf_child.h"

int bpf_optional_link(const struct bpf_link *link)
{
	return link ? bpf_link__fd(link) : -EBADF;
}

/*
 * mark_victim's argument was a pid before "mm: update mark_victim tracepoints fields" (2024), which stable kernels took
 * over as well: the version doesn't tell. BTF has the function that its probes are, whose own first argument is the
 * probe's data.
 */
static bool victim_is_task(const struct btf *btf)
{
	const struct btf_type *type = NULL;
	int id = btf__find_by_name_kind(btf, "btf_trace_mark_victim", BTF_KIND_TYPEDEF);

	if (id > 0)
		type = btf__type_by_id(btf, btf__type_by_id(btf, (uint32_t)id)->type);
	if (type && btf_is_ptr(type))
		type = btf__type_by_id(btf, type->type);
	return type && btf_is_func_proto(type) && btf_vlen(type) > 1 &&
	       btf_is_ptr(btf__type_by_id(btf, btf_params(type)[1].type));
}

void bpf_offer_look(struct bpf_offer *ret_offer)
{
	struct btf *btf = btf__load_vmlinux_btf();

	*ret_offer = (struct bpf_offer){};
	if (!btf)
		return;
	ret_offer->victim_is_task = victim_is_task(btf);
	/* Programs of functions need more of the kernel than those of tracepoints: libbpf tries one. */
	ret_offer->oom_kill_process = btf__find_by_name_kind(btf, "oom_kill_process", BTF_KIND_FUNC) > 0 &&
				      libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_TRACING, NULL) == 1;
	btf__free(btf);
}

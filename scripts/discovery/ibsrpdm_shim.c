/* Preloaded into ibsrpdm, in front of libumad2sim: what that does not simulate.
 *
 * - A program that registers for the subnet administration's class (3) gets the device management class (6), too: ibsrpdm asks both from one agent,
 *   while libumad2sim hands an answer to the agent of its class.
 * - The verbs that ibsrpdm sets up to hear of changes, which it does not use when it lists once. They succeed and do nothing.
 * - /sys/class/scsi_host, the disks that there are already: none. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <endian.h>
#include <infiniband/umad.h>
#include <infiniband/verbs.h>
#include <stdlib.h>
#include <string.h>

int umad_register(int port, int class, int version, uint8_t rmpp, long methods[16 / sizeof(long)])
{
	int (*real)(int, int, int, uint8_t, long *) = dlsym(RTLD_NEXT, "umad_register");
	int agent = real(port, class, version, rmpp, methods);

	if (agent >= 0 && class == 3 && real(port, 6, 1, 0, NULL) < 0)
		return -1;
	return agent;
}

DIR *opendir(const char *name)
{
	DIR *(*real)(const char *) = dlsym(RTLD_NEXT, "opendir");

	return real(strncmp(name, "/sys/class/scsi_host", 20) ? name : getenv("SHIM_EMPTY"));
}

#undef ibv_query_port
#undef ibv_reg_mr

static struct ibv_device device = {.name = "ibsim0"};
static struct ibv_context context = {.device = &device};
static struct ibv_pd pd = {.context = &context};
static struct ibv_comp_channel channel = {.context = &context};
static struct ibv_cq cq = {.context = &context};
static struct ibv_qp qp = {.context = &context};
static struct ibv_mr mr = {.context = &context};
static struct ibv_ah ah = {.context = &context};

static int req_notify_cq(struct ibv_cq *cq, int solicited)
{
	return 0;
}

static int post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	return 0;
}

struct ibv_device **ibv_get_device_list(int *count)
{
	static struct ibv_device *list[] = {&device, NULL};

	if (count)
		*count = 1;
	return list;
}

struct ibv_context *ibv_open_device(struct ibv_device *device)
{
	context.ops.req_notify_cq = req_notify_cq;
	context.ops.post_recv = post_recv;
	return &context;
}

int ibv_query_port(struct ibv_context *context, uint8_t port, struct _compat_ibv_port_attr *attr)
{
	struct ibv_port_attr *out = (struct ibv_port_attr *)attr;

	memset(out, 0, sizeof(*out));
	out->lid = atoi(getenv("SHIM_LID"));
	out->sm_lid = 1;
	return 0;
}

/* One partition: the default one. */
int ibv_query_pkey(struct ibv_context *context, uint8_t port, int index, __be16 *pkey)
{
	*pkey = htobe16(0xffff);
	return index ? -1 : 0;
}

int ibv_get_pkey_index(struct ibv_context *context, uint8_t port, __be16 pkey)
{
	return pkey == htobe16(0xffff) ? 0 : -1;
}

const char *ibv_get_device_name(struct ibv_device *device) { return device->name; }
void ibv_free_device_list(struct ibv_device **list) {}
int ibv_close_device(struct ibv_context *context) { return 0; }
struct ibv_pd *ibv_alloc_pd(struct ibv_context *context) { return &pd; }
int ibv_dealloc_pd(struct ibv_pd *pd) { return 0; }
struct ibv_comp_channel *ibv_create_comp_channel(struct ibv_context *context) { return &channel; }
int ibv_destroy_comp_channel(struct ibv_comp_channel *channel) { return 0; }
struct ibv_cq *ibv_create_cq(struct ibv_context *context, int size, void *data, struct ibv_comp_channel *channel, int vector) { return &cq; }
int ibv_destroy_cq(struct ibv_cq *cq) { return 0; }
struct ibv_qp *ibv_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attr) { return &qp; }
int ibv_modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask) { return 0; }
int ibv_destroy_qp(struct ibv_qp *qp) { return 0; }
struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *address, size_t length, int access) { return &mr; }
int ibv_dereg_mr(struct ibv_mr *mr) { return 0; }
struct ibv_ah *ibv_create_ah(struct ibv_pd *pd, struct ibv_ah_attr *attr) { return &ah; }
int ibv_destroy_ah(struct ibv_ah *ah) { return 0; }

/* Preloaded into ibsim: the first port whose program asks to be known as that of a subnet manager is so known; every later one gets the capability
 * IsDeviceManagementSupported instead. ibsim hands unasked datagrams only to programs that asked to be a subnet manager, and has no way to set that
 * capability, which the kernel sets on hardware. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <infiniband/mad.h>

#define IS_SM 0x00000002u
#define IS_DEVICE_MANAGEMENT_SUPPORTED 0x00080000u

void mad_set_field(void *buf, int base_offs, enum MAD_FIELDS field, uint32_t val)
{
	static void (*real)(void *, int, enum MAD_FIELDS, uint32_t);
	static void *manager;

	if (!real)
		real = dlsym(RTLD_NEXT, "mad_set_field");
	if (field == IB_PORT_CAPMASK_F && (val & IS_SM)) {
		if (!manager)
			manager = buf;
		if (buf != manager)
			val = (val & ~IS_SM) | IS_DEVICE_MANAGEMENT_SUPPORTED;
	}
	real(buf, base_offs, field, val);
}

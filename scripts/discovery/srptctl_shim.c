/* Preloaded into srptctl, in front of libumad2sim: what that does not simulate.
 *
 * - Rust's library opens files by open64, of which libumad2sim knows nothing: the port's files in sysfs. It becomes open, which leads there.
 * - link_layer is not among them, as with kernels that know InfiniBand only: srptctl takes that. */
#include <fcntl.h>
#include <stdarg.h>

#undef open64

int open64(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return open(path, flags, mode);
}

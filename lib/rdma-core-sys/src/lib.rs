//! Bindings of libibverbs and librdmacm, loaded at run time.

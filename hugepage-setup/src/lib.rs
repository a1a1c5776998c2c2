//! Huge-page allocator and the command that reserves huge pages.

//! Fixed pools of pinned buffers, each owned by exactly one holder at a time.

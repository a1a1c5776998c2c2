//! One pinned thread per core that polls: pollers, mailboxes, timers, an injectable clock.

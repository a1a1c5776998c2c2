//! Counters of a channel: written by its poll group alone, read by anybody.

use metrics::Counter;

/// What happened on one channel since its login.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct ChannelStatistics {
    /// SRP_CMD received.
    pub(crate) commands: Counter,
    /// SRP_TSK_MGMT received.
    pub(crate) management: Counter,
    /// Bytes fetched or received with commands (data-out).
    pub(crate) bytes_out: Counter,
    /// Bytes delivered (data-in).
    pub(crate) bytes_in: Counter,
    /// Responses with CHECK CONDITION or another status than GOOD.
    pub(crate) failures: Counter,
    /// Commands aborted.
    pub(crate) aborts: Counter,
    /// Times a command waited for a buffer.
    pub(crate) buffer_waits: Counter,
    /// Times a command waited for send slots.
    pub(crate) send_waits: Counter,
    /// SRP_CRED_REQ sent.
    pub(crate) credit_requests: Counter,
}

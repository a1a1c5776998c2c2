//! Every limit of the transport, with its unit, its reason, and the relations that must hold between them.

use std::time::Duration;

/// Largest IU that we accept, in bytes. A stock initiator asks for 8260: 68 bytes of header and 8 KiB of immediate data.
pub const MAX_IT_IU_BYTES: usize = 8260;

/// Smallest request size an initiator may ask for: an SRP_CMD with one direct descriptor.
pub const MIN_IT_IU_BYTES: usize = 64;

/// Largest IU that we send, in bytes: SRP_RSP header, response data, and the longest sense SPC allows. The same for
/// every login, because an initiator does not enlarge its buffers at a reconnect.
pub const MAX_TI_IU_BYTES: usize = 36 + 4 + 252;

/// Where Linux puts immediate data in an IU. Receive buffers are placed so that data at this offset is page-aligned and devices can
/// take it where it lies; another offset works too, with one copy.
pub const USUAL_IMMEDIATE_OFFSET: usize = 68;

/// Alignment of data buffers and of immediate data in its usual place, in bytes; enough for O_DIRECT anywhere.
pub const DATA_ALIGN: usize = 4096;

/// Credits a channel gets unless configured otherwise: what the kernel's targets grant.
pub const CREDITS_DEFAULT: u32 = 128;

/// Fewest credits that make sense: one is kept back by Linux for task management, one must carry commands.
pub const CREDITS_MIN: u32 = 4;

/// Most credits of one channel.
pub const CREDITS_MAX: u32 = 1024;

/// Receives posted beyond the credits: answers to our own requests (SRP_CRED_RSP, SRP_AER_RSP) and SRP_I_LOGOUT cost no credit.
pub const EXTRA_RECEIVES: u32 = 4;

/// Message buffers of a channel beyond its credits: responses whose send completion is still to be seen, and one
/// request of our own.
pub const EXTRA_MESSAGES: u32 = 16;

/// Most entries of an indirect descriptor table: twice what Linux can build (2048).
pub const TABLE_ENTRIES_MAX: usize = 4096;

/// Size of a buffer for a fetched descriptor table, in bytes.
pub const TABLE_BYTES_MAX: usize = TABLE_ENTRIES_MAX * 16;

/// Largest transfer of one command, in bytes; VPD page B0 tells the initiator (MAXIMUM TRANSFER LENGTH).
pub const TRANSFER_BYTES_MAX: usize = 1 << 20;

/// Commands of one poll group in flight at one device. More wait in the group.
pub const DEVICE_DEPTH: usize = 1024;

/// Completions taken from a fabric, and from each device, per round, so that no source starves the others.
pub const COMPLETIONS_PER_ROUND: usize = 256;

/// Events of the trace that each poll group keeps unless configured otherwise: four for a command, so the last thousand of them, in 192 KiB.
pub const TRACE_EVENTS_DEFAULT: usize = 4096;

/// Most events that it may keep: 48 MiB.
pub const TRACE_EVENTS_MAX: usize = 1 << 20;

/// Messages from the control plane taken per round.
pub const MESSAGES_PER_ROUND: usize = 32;

/// Capacity of the mailboxes between the planes. A sender that finds one full keeps its messages and tries again.
pub const MAILBOX_MESSAGES: usize = 1024;

/// Channels of one session; a stock initiator opens at most one per CPU. More are refused with CHANNEL LIMIT REACHED.
pub const CHANNELS_PER_SESSION_MAX: usize = 256;

/// How often an idle channel is probed with an RDMA WRITE of no bytes (IBTA C9-88), so that an initiator that vanished without a word is
/// found out.
pub const KEEPALIVE_PERIOD: Duration = Duration::from_secs(10);

/// How often a poll group brings the gauges of its statistics up to date.
pub const STATISTICS_PERIOD: Duration = Duration::from_millis(100);

/// How long a login may wait for the initiator to complete the handshake, or for the channels it replaces to end.
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the answer to a LOGICAL UNIT RESET waits for the SCSI device behind the unit: less than the 5 s that Linux waits for it.
pub const DEVICE_RESET_MAX: Duration = Duration::from_secs(4);

/// How long a drain waits for commands under way before it closes channels anyway.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Send-queue entries of a channel with `credits` credits: a response each, and room for two full lists of segments.
pub const fn send_queue_entries(credits: u32) -> u32 {
    2 * credits + EXTRA_MESSAGES + 2 * (fabric::SEGMENTS_MAX as u32 + 1)
}

/// Receives that a channel with `credits` credits keeps posted.
pub const fn receives(credits: u32) -> u32 {
    credits + EXTRA_RECEIVES
}

/// Message buffers of a channel with `credits` credits.
pub const fn messages(credits: u32) -> u32 {
    credits + EXTRA_MESSAGES
}

/// Orphans a channel may have before it holds credits back.
pub const fn orphans(credits: u32) -> u32 {
    credits
}

/// Command slots of a channel with `credits` credits: commands with a credit, commands whose response is on its way out
/// (bounded by the message buffers), and orphans. Sized so that taking a slot for a received IU cannot fail.
pub const fn command_slots(credits: u32) -> u32 {
    receives(credits) + messages(credits) + orphans(credits)
}

const _: () = {
    assert!(CREDITS_MIN >= 2 && CREDITS_DEFAULT >= CREDITS_MIN && CREDITS_DEFAULT <= CREDITS_MAX);
    assert!(receives(1) > 1, "a credit without a receive behind it would stall the channel");
    assert!(send_queue_entries(1) as usize > fabric::SEGMENTS_MAX, "one full list and its response must fit");
    assert!(send_queue_entries(CREDITS_MAX) >= messages(CREDITS_MAX), "every response must be able to be under way");
    assert!(MAX_IT_IU_BYTES >= 48 + 16 + 20 + 16 * 255, "cmd_sg_entries=255 must fit");
    assert!(MAX_IT_IU_BYTES >= USUAL_IMMEDIATE_OFFSET + 8192);
    assert!(MIN_IT_IU_BYTES >= 48 + 16);
    assert!(MAX_TI_IU_BYTES >= 36 + 4 + 96, "Linux keeps 96 bytes of sense");
    assert!(TRANSFER_BYTES_MAX.is_multiple_of(DATA_ALIGN));
};

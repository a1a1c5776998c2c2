//! What RoCE counts, by reason. The thread that owns a thing counts in plain numbers; about once a second a poll group
//! publishes a copy, which the control side adds up when someone asks.

use super::cm::CmCounters;
use super::packet_io::PacketCounters;
use super::rc::EndpointCounters;

/// Defines a struct of counters that can be added up and listed by name.
macro_rules! counters {
    ($(#[$about:meta])* pub struct $name:ident { $($(#[$doc:meta])* $field:ident,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
        pub struct $name {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl std::ops::AddAssign for $name {
            fn add_assign(&mut self, other: $name) {
                $(self.$field += other.$field;)*
            }
        }

        impl $name {
            /// Every counter by its name.
            pub fn list(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field),)*]
            }
        }
    };
}
pub(crate) use counters;

counters! {
    /// What the poll groups count beyond what their packet I/O and their queue pairs count themselves.
    pub struct GroupCounters {
        /// Packets that were handed to a queue pair.
        delivered,
        /// Packets that are not RoCE packets.
        not_roce,
        /// Packets for a queue pair that is not there.
        unknown_qp,
        /// Packets from another address than the queue pair's peer.
        wrong_peer,
        /// Queue pairs that went into error.
        failed_qps,
    }
}

/// Everything that one poll group counted, or all of them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct DataCounters {
    pub(super) group: GroupCounters,
    pub(super) packets: PacketCounters,
    pub(super) endpoints: EndpointCounters,
}

impl std::ops::AddAssign for DataCounters {
    fn add_assign(&mut self, other: DataCounters) {
        self.group += other.group;
        self.packets += other.packets;
        self.endpoints += other.endpoints;
    }
}

/// A snapshot of everything that a fabric counted since it was made; the data path's part is up to a second old.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counters {
    /// Packets of queue pairs.
    pub packets: PacketCounters,
    /// Packets of the connection manager.
    pub cm_packets: PacketCounters,
    /// Which queue pair a packet is for.
    pub groups: GroupCounters,
    /// The reliable connections.
    pub connections: EndpointCounters,
    /// The connection manager.
    pub cm: CmCounters,
}

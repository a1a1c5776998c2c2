//! One initiator of the world: what it has asked for and not heard of, and which of its channels it uses.

use std::collections::BTreeMap;

use super::model::Stamp;
use super::order::Place;
use super::paths::{ACTIVE, MANAGEABLE, States};
use super::reservations::Out;
use crate::testing::wire::Function;
use crate::testing::{Handle, Initiator, Login, MultiChannel};

/// A request without an outcome.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) channel: usize,
    pub(super) lun: [u8; 8],
    pub(super) what: What,
    /// The moment it was sent.
    pub(super) start: u64,
    pub(super) place: Place,
    /// One that was to come behind it was answered GOOD first.
    pub(super) overtaken: Option<Place>,
}

/// What was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    Read { unit: usize, lba: u64, blocks: u64 },
    Write { unit: usize, lba: u64, blocks: u64, stamp: Stamp },
    Manage(Function),
    Reserve { unit: usize, out: Out },
    Other,
}

impl What {
    /// The unit of a read or write, and whether it writes.
    pub(super) fn access(self) -> Option<(usize, bool)> {
        match self {
            What::Read { unit, .. } => Some((unit, false)),
            What::Write { unit, .. } => Some((unit, true)),
            What::Manage(_) | What::Reserve { .. } | What::Other => None,
        }
    }

    /// Its unit, and the states of the path in which it is carried out.
    pub(super) fn path(self) -> Option<(usize, States)> {
        match self {
            What::Read { unit, .. } | What::Write { unit, .. } => Some((unit, ACTIVE)),
            What::Reserve { unit, .. } => Some((unit, MANAGEABLE)),
            What::Manage(_) | What::Other => None,
        }
    }
}

/// A login that is not answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coming {
    pub(super) channel: usize,
    pub(super) action: MultiChannel,
    pub(super) start: u64,
}

/// What was lost with its channel, and may be carried out still.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost {
    pub(super) what: What,
    pub(super) start: u64,
}

pub(super) struct Player {
    pub(super) initiator: Initiator,
    pub(super) pending: BTreeMap<Handle, Pending>,
    /// Commands of other channels that end with the answer to task management.
    pub(super) ends: BTreeMap<Handle, Vec<Handle>>,
    /// The latest commands, over or not.
    pub(super) recent: Vec<(Handle, usize, u16)>,
    pub(super) live: Vec<usize>,
    /// Channels that it said good-bye on.
    pub(super) left: Vec<usize>,
    pub(super) coming: Vec<Coming>,
    pub(super) lost: Vec<Lost>,
}

impl Player {
    pub(super) fn new(initiator: Initiator) -> Player {
        let (pending, ends, recent) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Player {
            initiator,
            pending,
            ends,
            recent,
            live: Vec::new(),
            left: Vec::new(),
            coming: Vec::new(),
            lost: Vec::new(),
        }
    }

    /// Logins that were accepted since the last call.
    pub(super) fn arrivals(&mut self) -> Vec<Coming> {
        let initiator = &self.initiator;
        let (over, coming): (Vec<_>, Vec<_>) =
            self.coming.iter().partition(|coming| initiator.login_state(coming.channel) != Login::Pending);
        self.coming = coming;
        let accepted = |coming: &Coming| matches!(initiator.login_state(coming.channel), Login::Accepted(_));
        let accepted: Vec<Coming> = over.into_iter().filter(accepted).collect();
        self.live.extend(accepted.iter().map(|coming| coming.channel));
        self.live.retain(|&channel| matches!(initiator.login_state(channel), Login::Accepted(_)));
        accepted
    }

    /// The moment of the oldest request that is not answered.
    pub(super) fn oldest(&self) -> u64 {
        self.pending.values().map(|pending| pending.start).min().unwrap_or(u64::MAX)
    }
}

//! All connections, by everything that they are looked up by.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use super::CmId;
use super::connection::{Connection, Ends, State};

/// Most connections in time wait; the one that has waited longest makes room. 4096 of them take up some 3 MB.
pub(super) const TIME_WAIT_MAX: usize = 4096;

/// The connections. They change in [`Table::update`] alone, which keeps the indices true.
#[derive(Debug, Default)]
pub(super) struct Table {
    connections: HashMap<CmId, Connection>,
    /// Passive ones, by the peer's communication id.
    by_remote_id: HashMap<(Ends, u32), CmId>,
    /// By the peer's queue pair.
    by_queue_pair: HashMap<(Ends, u32), CmId>,
    deadlines: BTreeSet<(u64, CmId)>,
    time_wait: BTreeSet<(u64, CmId)>,
    half_open: usize,
    /// Of each peer that has any.
    half_open_of: HashMap<IpAddr, usize>,
}

/// What the indices say of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Indexed {
    remote_id: Option<(Ends, u32)>,
    queue_pair: Option<(Ends, u32)>,
    deadline: Option<u64>,
    time_wait: Option<u64>,
    half_open: Option<IpAddr>,
}

impl Indexed {
    fn of(connection: &Connection) -> Indexed {
        let ends = Ends::of(&connection.path);
        let repeats_request = connection.passive && !matches!(connection.state, State::Over);
        Indexed {
            remote_id: repeats_request.then_some((ends, connection.remote_id)),
            queue_pair: connection.uses_queue_pair().then_some((ends, connection.remote_qpn)),
            deadline: connection.deadline(),
            time_wait: match connection.state {
                State::TimeWait { until, .. } => Some(until),
                _ => None,
            },
            half_open: connection.is_half_open().then_some(ends.peer),
        }
    }
}

impl Table {
    /// Adds a connection whose id is free.
    pub(super) fn insert(&mut self, connection: Connection) {
        let id = connection.id;
        self.reindex(id, Indexed::default(), Indexed::of(&connection));
        let before = self.connections.insert(id, connection);
        debug_assert!(before.is_none(), "the id was in use");
    }

    /// Changes a connection; `None` if it is not known.
    pub(super) fn update<R>(&mut self, id: CmId, change: impl FnOnce(&mut Connection) -> R) -> Option<R> {
        let connection = self.connections.get_mut(&id)?;
        let before = Indexed::of(connection);
        let result = change(connection);
        let (after, forgotten) = (Indexed::of(connection), connection.is_forgotten());
        self.reindex(id, before, after);
        if forgotten {
            self.connections.remove(&id);
        }
        self.bound_time_wait();
        Some(result)
    }

    fn reindex(&mut self, id: CmId, before: Indexed, after: Indexed) {
        reindex_key(&mut self.by_remote_id, id, before.remote_id, after.remote_id);
        reindex_key(&mut self.by_queue_pair, id, before.queue_pair, after.queue_pair);
        reindex_time(&mut self.deadlines, id, before.deadline, after.deadline);
        reindex_time(&mut self.time_wait, id, before.time_wait, after.time_wait);
        if before.half_open != after.half_open {
            before.half_open.inspect(|&peer| self.count_half_open(peer, false));
            after.half_open.inspect(|&peer| self.count_half_open(peer, true));
        }
    }

    fn count_half_open(&mut self, peer: IpAddr, more: bool) {
        let of_peer = self.half_open_of.entry(peer).or_default();
        let step = |count: usize| if more { count + 1 } else { count - 1 };
        (self.half_open, *of_peer) = (step(self.half_open), step(*of_peer));
        if *of_peer == 0 {
            self.half_open_of.remove(&peer);
        }
    }

    fn bound_time_wait(&mut self) {
        if self.time_wait.len() > TIME_WAIT_MAX
            && let Some(&(_, oldest)) = self.time_wait.first()
        {
            self.update(oldest, |connection| connection.state = State::Over);
        }
    }

    pub(super) fn get(&self, id: CmId) -> Option<&Connection> {
        self.connections.get(&id)
    }

    /// The passive connection of this REQ.
    pub(super) fn by_remote_id(&self, ends: Ends, remote_id: u32) -> Option<CmId> {
        self.by_remote_id.get(&(ends, remote_id)).copied()
    }

    /// The connection that has this queue pair of the peer.
    pub(super) fn by_queue_pair(&self, ends: Ends, remote_qpn: u32) -> Option<CmId> {
        self.by_queue_pair.get(&(ends, remote_qpn)).copied()
    }

    /// A connection whose deadline has come.
    pub(super) fn due(&self, now: u64) -> Option<CmId> {
        self.deadlines.first().filter(|&&(at, _)| at <= now).map(|&(_, id)| id)
    }

    /// Ends the time wait of those that have waited long enough.
    pub(super) fn end_time_wait(&mut self, now: u64) {
        while let Some(&(until, id)) = self.time_wait.first()
            && until <= now
        {
            self.update(id, |connection| connection.state = State::Over);
        }
    }

    /// How many are neither established nor over, of those that peers made.
    pub(super) fn half_open(&self) -> usize {
        self.half_open
    }

    /// Those of them that this peer made.
    pub(super) fn half_open_of(&self, peer: IpAddr) -> usize {
        self.half_open_of.get(&peer).copied().unwrap_or(0)
    }
}

#[cfg(test)]
impl Table {
    /// How many there are, those included that are over but remembered.
    pub(super) fn len(&self) -> usize {
        self.connections.len()
    }

    /// No index holds anything either.
    pub(super) fn assert_empty(&self) {
        assert!(self.connections.is_empty() && self.deadlines.is_empty() && self.time_wait.is_empty(), "{self:?}");
        assert!(self.by_remote_id.is_empty() && self.by_queue_pair.is_empty(), "{self:?}");
        assert!(self.half_open == 0 && self.half_open_of.is_empty(), "{self:?}");
    }
}

fn reindex_key(
    index: &mut HashMap<(Ends, u32), CmId>,
    id: CmId,
    before: Option<(Ends, u32)>,
    after: Option<(Ends, u32)>,
) {
    if before == after {
        return;
    }
    if let Some(key) = before {
        index.remove(&key);
    }
    if let Some(key) = after {
        let other = index.insert(key, id);
        debug_assert!(other.is_none(), "another connection has this key");
    }
}

fn reindex_time(index: &mut BTreeSet<(u64, CmId)>, id: CmId, before: Option<u64>, after: Option<u64>) {
    if before == after {
        return;
    }
    if let Some(at) = before {
        index.remove(&(at, id));
    }
    if let Some(at) = after {
        index.insert((at, id));
    }
}

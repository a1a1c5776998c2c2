//! What the control plane tells of all counters: sums over cores and channels, as they stand now.

use std::net::SocketAddr;
use std::sync::Arc;

use mem::Region;
use metrics::{Counter, HistogramSnapshot};

use super::{
    ChannelStatistics, CommandError, ErrorCount, GroupStatistics, LunKey, LunStatistics, MANAGEMENT, Operation,
    OperationCounters, WAITS,
};
use crate::connection::{ConnectionState, Session};
use crate::controller::Controller;
use crate::initiator_group::GroupLuns;
use crate::memory;
use crate::session::UnitId;
use crate::target::ExportedUnit;

/// Everything that the transport counts.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// Every LUN of a target; and those of initiator groups' own maps, once a session has seen them.
    pub luns: Vec<LunReport>,
    /// Every session.
    pub sessions: Vec<SessionReport>,
    /// Every poll group, in the order of the reactors.
    pub groups: Vec<GroupReport>,
    /// Every bdev that is exported.
    pub units: Vec<UnitReport>,
    /// Logins accepted, one for each channel.
    pub logins: u64,
    /// Logins refused, by the cause.
    pub refusals: Vec<(&'static str, u64)>,
    /// Channels that failed, by the reason; initiators that logged out or went are among them.
    pub failures: Vec<(&'static str, u64)>,
    /// Whether the target is about to end.
    pub draining: bool,
}

/// One LUN.
#[derive(Clone, Debug)]
pub struct LunReport {
    /// The target.
    pub target: String,
    /// The initiator group whose own map it is in; `None`: it is the target's.
    pub initiator_group: Option<String>,
    /// Its number.
    pub lun: u16,
    /// The bdev behind it.
    pub bdev: String,
    /// Commands that were answered.
    pub operations: [OperationTotals; Operation::COUNT],
    /// Those of them that failed; every way that there is.
    pub errors: Vec<ErrorCount>,
    /// Commands that were aborted.
    pub aborts: u64,
}

/// One session, with what its channels did that are gone.
#[derive(Clone, Debug)]
pub struct SessionReport {
    /// Its number.
    pub id: u64,
    /// Initiator port id, `0x` and 32 hex digits. No two sessions of a target have the same.
    pub initiator: String,
    /// The target.
    pub target: String,
    /// The initiator group that let it in.
    pub initiator_group: Option<String>,
    /// The initiator's address at its first login.
    pub peer: SocketAddr,
    /// LUNs that it sees.
    pub luns: usize,
    /// Channels that serve it.
    pub channels: usize,
    /// Credits that these were granted.
    pub credits: u64,
    /// Of these, the credits that the initiator does not have now.
    pub credits_used: u64,
    /// Requests under way.
    pub requests: u64,
    /// What it has done.
    pub totals: SessionTotals,
}

/// Sums over channels.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SessionTotals {
    /// Commands that were answered.
    pub operations: [OperationTotals; Operation::COUNT],
    /// Those with another status than GOOD.
    pub failures: u64,
    /// Commands that were aborted.
    pub aborts: u64,
    /// Task management requests.
    pub management: u64,
    /// Times a command waited for a buffer.
    pub buffer_waits: u64,
    /// Times a command waited for send slots.
    pub send_waits: u64,
    /// Credit requests sent.
    pub credit_requests: u64,
}

/// Commands of one kind that were answered.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct OperationTotals {
    /// Bytes that went between initiator and target.
    pub bytes: u64,
    /// Their latencies, so also how many they are.
    pub latency: HistogramSnapshot,
}

/// One poll group.
#[derive(Clone, Debug)]
pub struct GroupReport {
    /// Its buffers' memory.
    pub region: Arc<Region>,
    /// Its kinds of buffers.
    pub pools: Vec<PoolReport>,
    /// Times a command had to wait, by what it waited for.
    pub waits: Vec<(&'static str, u64)>,
    /// Commands that wait now, by what they wait for.
    pub waiting: Vec<(&'static str, u64)>,
    /// Requests that have a slot now.
    pub commands: u64,
    /// Those of them that nobody waits for: they are still at a device, or in the background.
    pub orphans: u64,
    /// Channels, by their state.
    pub channels: Vec<(&'static str, u64)>,
    /// Task management requests, by the function.
    pub management: Vec<(&'static str, u64)>,
}

/// Buffers of one kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolReport {
    /// What they are for.
    pub name: &'static str,
    /// How many there are.
    pub capacity: u64,
    /// How many are free.
    pub free: u64,
}

/// One exported bdev.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnitReport {
    /// Its name.
    pub bdev: String,
    /// Operations at its device, of all cores.
    pub in_flight: u64,
}

impl Controller {
    /// What was counted until now. Gauges of the data path are up to [`crate::limits::STATISTICS_PERIOD`] old.
    pub fn statistics(&mut self) -> Statistics {
        self.tidy_luns();
        let luns = self.lun_statistics.iter();
        Statistics {
            luns: luns.filter_map(|(key, statistics)| self.lun_report(key, statistics)).collect(),
            sessions: self.sessions.iter().map(|(id, session)| self.session_report(id.0, session)).collect(),
            groups: (0..self.groups.len()).map(|group| self.group_report(group)).collect(),
            units: self.units.iter().map(|(_, unit)| unit_report(unit)).collect(),
            logins: self.counts.accepted,
            refusals: self.counts.refusals().collect(),
            failures: self.counts.failures().collect(),
            draining: self.is_draining(),
        }
    }

    /// The statistics of a LUN, which begin when they are first asked for.
    pub(crate) fn lun_statistics(&mut self, key: LunKey) -> Arc<LunStatistics> {
        let groups = self.groups.len();
        Arc::clone(self.lun_statistics.entry(key).or_insert_with(|| LunStatistics::new(groups)))
    }

    /// Forgets LUNs that are gone, and begins with those that nobody has seen yet.
    fn tidy_luns(&mut self) {
        let mut table = std::mem::take(&mut self.lun_statistics);
        table.retain(|key, _| self.unit_at(key).is_some());
        self.lun_statistics = table;
        let key = |target: &str, lun| LunKey { target: target.to_owned(), group: None, lun };
        let of_targets = self.targets.iter().flat_map(|target| target.luns.keys().map(|&lun| key(&target.name, lun)));
        for key in of_targets.collect::<Vec<LunKey>>() {
            self.lun_statistics(key);
        }
    }

    fn unit_at(&self, key: &LunKey) -> Option<UnitId> {
        let target = self.targets.iter().find(|target| target.name == key.target)?;
        let Some(group) = &key.group else { return target.luns.get(&key.lun).map(|lun| lun.unit) };
        let group = self.initiator_groups.iter().find(|other| other.name == *group)?;
        let GroupLuns::Own(map) = &group.luns else { return None };
        map.get(&key.lun)?.unit_at(target)
    }

    fn lun_report(&self, key: &LunKey, statistics: &LunStatistics) -> Option<LunReport> {
        let unit = self.units.get(self.unit_at(key)?)?;
        let mut operations = <[OperationTotals; Operation::COUNT]>::default();
        let mut errors = [0; CommandError::COUNT];
        let mut aborts = 0;
        for core in &statistics.cores {
            add_operations(&mut operations, &core.operations);
            add(&mut errors, &core.errors);
            aborts += core.aborts.get();
        }
        Some(LunReport {
            target: key.target.clone(),
            initiator_group: key.group.clone(),
            lun: key.lun,
            bdev: unit.logical_unit.bdev().info().name.clone(),
            operations,
            errors: CommandError::named(errors),
            aborts,
        })
    }

    fn session_report(&self, id: u64, session: &Session) -> SessionReport {
        let channels = || session.channels.iter().filter_map(|channel| self.connections.get(channel));
        let statistics = || channels().map(|entry| &*entry.statistics);
        let mut totals = session.ended;
        statistics().for_each(|statistics| totals.add(statistics));
        let live = channels().filter(|entry| matches!(entry.state, ConnectionState::Accepted | ConnectionState::Live));
        let channels = live.count();
        SessionReport {
            id,
            initiator: session.initiator.to_string(),
            target: session.target.clone(),
            initiator_group: session.group.clone(),
            peer: session.peer,
            luns: session.luns.luns().len(),
            channels,
            credits: channels as u64 * u64::from(self.credits),
            credits_used: statistics().map(|it| it.credits_used.get().max(0).cast_unsigned()).sum(),
            requests: statistics().map(|it| it.requests.get().max(0).cast_unsigned()).sum(),
            totals,
        }
    }

    fn group_report(&self, group: usize) -> GroupReport {
        let link = &self.groups[group];
        let GroupStatistics { waits, management, commands, orphans, waiting, free } = &*link.statistics;
        let now = |gauge: &metrics::Gauge| gauge.get().max(0).cast_unsigned();
        let pools = memory::POOLS.into_iter().zip(self.memory.capacities()).zip(free);
        let mut channels = [("starting", 0), ("accepted", 0), ("live", 0), ("stopping", 0)];
        for entry in self.connections.values().filter(|entry| entry.group == group) {
            match entry.state {
                // It has no group yet.
                ConnectionState::Waiting => {}
                ConnectionState::Starting => channels[0].1 += 1,
                ConnectionState::Accepted => channels[1].1 += 1,
                ConnectionState::Live => channels[2].1 += 1,
                ConnectionState::Stopping => channels[3].1 += 1,
            }
        }
        GroupReport {
            region: Arc::clone(&link.region),
            pools: pools
                .map(|((name, capacity), free)| PoolReport { name, capacity: capacity as u64, free: now(free) })
                .collect(),
            waits: WAITS.into_iter().zip(waits.iter().map(Counter::get)).collect(),
            waiting: WAITS.into_iter().zip(waiting.iter().map(now)).collect(),
            commands: now(commands),
            orphans: now(orphans),
            channels: channels.into(),
            management: MANAGEMENT.into_iter().zip(management.iter().map(Counter::get)).collect(),
        }
    }
}

fn unit_report(unit: &ExportedUnit) -> UnitReport {
    let in_flight = unit.statistics.in_flight.iter().map(|gauge| gauge.get().max(0).cast_unsigned()).sum();
    UnitReport { bdev: unit.logical_unit.bdev().info().name.clone(), in_flight }
}

impl SessionTotals {
    pub(crate) fn add(&mut self, channel: &ChannelStatistics) {
        add_operations(&mut self.operations, &channel.operations);
        self.failures += channel.failures.get();
        self.aborts += channel.aborts.get();
        self.management += channel.management.get();
        self.buffer_waits += channel.buffer_waits.get();
        self.send_waits += channel.send_waits.get();
        self.credit_requests += channel.credit_requests.get();
    }
}

fn add_operations(totals: &mut [OperationTotals], counters: &[OperationCounters]) {
    for (total, counter) in totals.iter_mut().zip(counters) {
        total.bytes += counter.bytes.get();
        total.latency.merge(&counter.latency.snapshot());
    }
}

fn add(totals: &mut [u64], counters: &[Counter]) {
    totals.iter_mut().zip(counters).for_each(|(total, counter)| *total += counter.get());
}

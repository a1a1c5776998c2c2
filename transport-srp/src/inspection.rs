//! What there is, for display: targets, listeners, groups, sessions and their counters. Control plane.

use std::net::SocketAddr;
use std::sync::Arc;

use fabric::{ListenerState, Service};
use scsi::{Addressing, LogicalUnit};

use crate::connection::ConnectionState;
use crate::controller::{Controller, Listener, LoginCounts, NATIVE_INFINIBAND};
use crate::initiator_group::{GroupLun, GroupLunSource, GroupLuns, InitiatorGroup};
use crate::session::ChannelId;
use crate::target::{Target, TargetLun};

/// A target, for display.
#[derive(Clone)]
pub struct TargetInfo {
    /// Its name.
    pub name: String,
    /// First half of its port id.
    pub id_ext: u64,
    /// Second half of its port id.
    pub ioc_guid: u64,
    /// Relative target port identifier.
    pub relative_port: u16,
    /// How REPORT LUNS lists LUNs.
    pub addressing: Addressing,
    /// Its LUNs in ascending order.
    pub luns: Vec<LunInfo>,
    /// Sessions on it.
    pub sessions: usize,
}

/// One LUN of a target, for display.
#[derive(Clone)]
pub struct LunInfo {
    /// Its number.
    pub lun: u16,
    /// The bdev behind it.
    pub bdev_name: String,
    /// Whether writes are refused.
    pub read_only: bool,
    /// The unit's identity.
    pub unit: Arc<LogicalUnit>,
}

/// An initiator group, for display.
#[derive(Clone)]
pub struct InitiatorGroupInfo {
    /// Its name.
    pub name: String,
    /// The target it is about; `None`: every target.
    pub target: Option<String>,
    /// Its patterns.
    pub initiators: Vec<String>,
    /// The LUNs of the target that its members see; `None`: all, or those of `map`.
    pub luns: Option<Vec<u16>>,
    /// Its own map, in ascending order of LUN.
    pub map: Option<Vec<MappedLunInfo>>,
}

/// A LUN of a group's own map, for display.
#[derive(Clone)]
pub struct MappedLunInfo {
    /// Its number.
    pub lun: u16,
    /// The unit it leads to.
    pub unit: Option<Arc<LogicalUnit>>,
    /// Or the LUN of the target.
    pub target_lun: Option<u16>,
    /// Whether writes are refused.
    pub read_only: bool,
}

/// A listener, for display.
#[derive(Clone, Debug)]
pub struct ListenerInfo {
    /// The fabric's name; of one by IB/CM [`NATIVE_INFINIBAND`].
    pub fabric: &'static str,
    /// Its address and port.
    pub address: SocketAddr,
    /// Whether it takes connections now.
    pub state: ListenerState,
}

/// A session, for display.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// Its number.
    pub id: u64,
    /// Initiator port id, `0x` and 32 hex digits.
    pub initiator_port_id: String,
    /// Target port id in the same form.
    pub target_port_id: String,
    /// The target's name.
    pub target: String,
    /// The initiator group that let it in.
    pub initiator_group: Option<String>,
    /// The initiator's address at its first login.
    pub peer: SocketAddr,
    /// LUNs that it sees.
    pub luns: Vec<u16>,
    /// Its channels.
    pub channels: Vec<ChannelInfo>,
}

/// A channel, for display. Counters since its login.
#[derive(Clone, Debug)]
pub struct ChannelInfo {
    /// Its number.
    pub id: u64,
    /// `starting`, `accepted`, `live` or `stopping`.
    pub state: &'static str,
    /// Index of its reactor among the reactors.
    pub reactor: usize,
    /// The initiator's address and port.
    pub peer: SocketAddr,
    /// SCSI commands received.
    pub commands: u64,
    /// Task management requests received.
    pub task_management: u64,
    /// Data-out bytes fetched from the initiator (immediate data not counted).
    pub bytes_out: u64,
    /// Data-in bytes delivered to the initiator.
    pub bytes_in: u64,
    /// Responses with another status than GOOD.
    pub failures: u64,
    /// Commands aborted.
    pub aborts: u64,
    /// Times a command waited for a buffer.
    pub buffer_waits: u64,
    /// Times a command waited for send slots.
    pub send_waits: u64,
    /// Credit requests sent.
    pub credit_requests: u64,
}

impl Controller {
    /// All targets, in the order of their creation.
    pub fn targets(&self) -> Vec<TargetInfo> {
        let lun = |(&lun, exported): (&u16, &TargetLun)| {
            let unit = Arc::clone(&self.units.get(exported.unit)?.logical_unit);
            Some(LunInfo { lun, bdev_name: unit.bdev().info().name.clone(), read_only: exported.read_only, unit })
        };
        let info = |target: &Target| TargetInfo {
            name: target.name.clone(),
            id_ext: target.id_ext,
            ioc_guid: target.ioc_guid,
            relative_port: target.relative_port,
            addressing: target.addressing,
            luns: target.luns.iter().filter_map(lun).collect(),
            sessions: self.sessions.values().filter(|session| session.target == target.name).count(),
        };
        self.targets.iter().map(info).collect()
    }

    /// All listeners, in the order of their creation.
    pub fn listeners(&self) -> Vec<ListenerInfo> {
        let info = |listener: &Listener| ListenerInfo {
            fabric: match listener.service {
                Service::Ip => self.fabrics[listener.fabric].fabric_name(),
                Service::Ib => NATIVE_INFINIBAND,
            },
            address: listener.address,
            state: self.fabrics[listener.fabric].listener_state(listener.id),
        };
        self.listeners.iter().map(info).collect()
    }

    /// All initiator groups, in the order of their creation.
    pub fn initiator_groups(&self) -> Vec<InitiatorGroupInfo> {
        let mapped = |(&lun, entry): (&u16, &GroupLun)| {
            let unit = entry.unit().and_then(|unit| self.units.get(unit)).map(|unit| Arc::clone(&unit.logical_unit));
            let target_lun = match entry.source {
                GroupLunSource::TargetLun(lun) => Some(lun),
                GroupLunSource::Unit(_) => None,
            };
            MappedLunInfo { lun, unit, target_lun, read_only: entry.read_only }
        };
        let info = |group: &InitiatorGroup| {
            let (luns, map) = match &group.luns {
                GroupLuns::All => (None, None),
                GroupLuns::Some(luns) => (Some(luns.clone()), None),
                GroupLuns::Own(map) => (None, Some(map.iter().map(mapped).collect())),
            };
            let initiators = group.initiators.iter().map(ToString::to_string).collect();
            InitiatorGroupInfo { name: group.name.clone(), target: group.target.clone(), initiators, luns, map }
        };
        self.initiator_groups.iter().map(info).collect()
    }

    /// All sessions, in the order of their creation.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.sessions
            .iter()
            .map(|(id, session)| SessionInfo {
                id: id.0,
                initiator_port_id: session.initiator.to_string(),
                target_port_id: session.target_port.to_string(),
                target: session.target.clone(),
                initiator_group: session.group.clone(),
                peer: session.peer,
                luns: session.luns.luns().iter().map(|lun| lun.0).collect(),
                channels: session.channels.iter().filter_map(|channel| self.channel_info(*channel)).collect(),
            })
            .collect()
    }

    /// Logins since the start.
    pub fn login_counts(&self) -> LoginCounts {
        self.counts
    }

    /// RDMA devices of all fabrics.
    pub fn devices(&self) -> Vec<fabric::DeviceInfo> {
        self.fabrics.iter().flat_map(fabric::Control::devices).collect()
    }

    /// What RoCE counted, if this target has it.
    pub fn roce_counters(&mut self) -> Option<fabric::roce::Counters> {
        self.fabrics.iter_mut().find_map(|fabric| match fabric {
            fabric::Control::Roce(control) => Some(control.counters()),
            _ => None,
        })
    }

    fn channel_info(&self, channel: ChannelId) -> Option<ChannelInfo> {
        let entry = self.connections.get(&channel)?;
        let counters = &entry.statistics;
        Some(ChannelInfo {
            id: channel.0,
            state: match entry.state {
                ConnectionState::Waiting | ConnectionState::Starting => "starting",
                ConnectionState::Accepted => "accepted",
                ConnectionState::Live => "live",
                ConnectionState::Stopping => "stopping",
            },
            reactor: entry.group,
            peer: entry.peer,
            commands: counters.commands.get(),
            task_management: counters.management.get(),
            bytes_out: counters.bytes_out.get(),
            bytes_in: counters.bytes_in.get(),
            failures: counters.failures.get(),
            aborts: counters.aborts.get(),
            buffer_waits: counters.buffer_waits.get(),
            send_waits: counters.send_waits.get(),
            credit_requests: counters.credit_requests.get(),
        })
    }
}

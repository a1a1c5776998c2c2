//! From a connection request to the last trace of it. Control plane.
//!
//! ```text
//!  request ─► decide ─┬─ refused ─► reject, destroy
//!                     ├─► Waiting (SINGLE login: the nexus' old channels end first) ─┐
//!                     └───────────────────────────────────────────────────────────────┴─► Starting (queue pair made, poll group posts receives)
//!                            ─► Accepted ─► Live ─► Stopping (queue pair in error, poll group collects its buffers) ─► destroyed
//! ```
//!
//! Any state but `Stopping` leads to `Stopping` when the connection ends, fails, is closed, or takes too long.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use fabric::{AcceptParameters, ConnectRequest, ConnectionId, GroupId, PrivateData, QueuePair, QueuePairSizes};
use reactor::Instant;
use scsi::reservations::NexusId;
use scsi::{Address, UnitAttention, UnitNexus};

use crate::controller::{Controller, GroupLink};
use crate::limits;
use crate::login::{self, Cause, Grant, Policy, Refusal};
use crate::messages::{ChannelFailure, ChannelStart, ToGroup};
use crate::placement::{self, Load};
use crate::session::{ChannelId, LunEntry, LunMap, Nexus, SessionId, UnitId};
use crate::statistics::{ChannelStatistics, SessionTotals};
use crate::trace::event::Whose;
use crate::wire::login::{LoginRequest, MultiChannelAction};
use crate::wire::port_id::PortId;

/// One channel as the control plane knows it.
pub(crate) struct Connection {
    pub(crate) fabric: usize,
    pub(crate) connection: ConnectionId,
    pub(crate) peer: SocketAddr,
    pub(crate) group: usize,
    pub(crate) session: Option<SessionId>,
    pub(crate) state: ConnectionState,
    pub(crate) statistics: Arc<ChannelStatistics>,
    since: Instant,
    request: ConnectRequest,
    login: LoginRequest,
    grant: Grant,
    /// Channels of the nexus when this one came.
    others: usize,
}

/// See above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ConnectionState {
    Waiting,
    Starting,
    Accepted,
    Live,
    Stopping,
}

/// How two LUN maps of a session differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LunsChange {
    /// Not at all.
    None,
    /// In what is behind the same LUNs, or whose LUNs they count as.
    Units,
    /// In the LUNs that there are (SPC-4: the logical unit inventory).
    Inventory,
}

impl LunsChange {
    fn between(old: &LunMap, new: &LunMap) -> LunsChange {
        let same = |(a, b): (&LunEntry, &LunEntry)| {
            (a.unit, a.read_only) == (b.unit, b.read_only) && Arc::ptr_eq(&a.statistics, &b.statistics)
        };
        match old.luns() == new.luns() {
            false => LunsChange::Inventory,
            true if old.entries().iter().zip(new.entries()).all(same) => LunsChange::None,
            true => LunsChange::Units,
        }
    }
}

/// An I_T nexus with its channels.
pub(crate) struct Session {
    pub(crate) nexus: Arc<Nexus>,
    pub(crate) initiator: PortId,
    pub(crate) target_port: PortId,
    pub(crate) target: String,
    pub(crate) group: Option<String>,
    pub(crate) peer: SocketAddr,
    pub(crate) channels: Vec<ChannelId>,
    /// What the nexus is to be told per unit; kept while LUNs come and go.
    units: BTreeMap<UnitId, Arc<UnitNexus>>,
    pub(crate) luns: Arc<LunMap>,
    /// What its channels did that are gone.
    pub(crate) ended: SessionTotals,
}

impl Session {
    /// Its nexus by the names of both ports.
    pub(crate) fn nexus_id(&self) -> NexusId {
        NexusId::from(&self.nexus.ports)
    }

    /// What stands between the nexus and a unit, if it sees it.
    pub(crate) fn unit_nexus(&self, unit: UnitId) -> Option<&Arc<UnitNexus>> {
        self.units.get(&unit)
    }

    /// Tells the nexus of something that happened to a unit.
    pub(crate) fn establish(&self, unit: UnitId, attention: UnitAttention) {
        if let Some(nexus) = self.units.get(&unit) {
            nexus.establish(attention);
        }
    }

    /// Asks the nexus to give the disc of a CD drive free.
    pub(crate) fn request_eject(&self, unit: UnitId) {
        if let Some(nexus) = self.units.get(&unit) {
            nexus.request_eject();
        }
    }
}

impl Controller {
    pub(crate) fn on_connect_request(&mut self, fabric: usize, connection: ConnectionId, request: ConnectRequest) {
        let parsed = LoginRequest::parse(&request.private_data, login::form(&request.private_data));
        let login = match parsed {
            Ok(login) => login,
            Err(error) => {
                let refusal =
                    Refusal { cause: Cause::Malformed, why: format!("its login request is malformed: {error}") };
                return self.refuse(fabric, connection, &request, None, &refusal);
            }
        };
        if self.drain.is_some() {
            let refusal = Refusal { cause: Cause::ShuttingDown, why: "the target is shutting down".into() };
            return self.refuse(fabric, connection, &request, Some(&login), &refusal);
        }
        let session = self.find_session(&login);
        let others = session.and_then(|id| self.sessions.get(&id)).map_or(0, |session| session.channels.len());
        let counted = if login.multi_channel == MultiChannelAction::Multi { others } else { 0 };
        let policy = Policy {
            targets: &self.targets,
            groups: &self.initiator_groups,
            channels: counted,
            initiator_channels: self.initiator_channels(&login, request.peer.ip()),
            channels_per_initiator: self.channels_per_initiator,
        };
        let grant = match login::decide(&login, request.peer.ip(), &policy) {
            Ok(grant) => grant,
            Err(refusal) => return self.refuse(fabric, connection, &request, Some(&login), &refusal),
        };
        let channel = self.new_channel_id();
        let replaces = login.multi_channel == MultiChannelAction::Single && others > 0;
        let entry = Connection {
            fabric,
            connection,
            peer: request.peer,
            group: 0,
            session: None,
            state: ConnectionState::Waiting,
            statistics: Arc::default(),
            since: self.now,
            request,
            login,
            grant,
            others,
        };
        self.connections.insert(channel, entry);
        self.by_connection.insert((fabric, connection), channel);
        match session {
            Some(session) if replaces => {
                if self.comings.allows(self.now) {
                    let (channel, session) = (channel.0, session.0);
                    tracing::info!(channel, session, "the initiator logs in anew: its old channels end first");
                }
                self.stop_session(session, "replaced by a new login of the same initiator");
            }
            _ => self.start_connection(channel),
        }
    }

    pub(crate) fn on_established(&mut self, fabric: usize, connection: ConnectionId) {
        let Some(channel) = self.by_connection.get(&(fabric, connection)) else { return };
        if let Some(entry) = self.connections.get_mut(channel)
            && entry.state == ConnectionState::Accepted
        {
            entry.state = ConnectionState::Live;
            let (channel, group) = (*channel, entry.group);
            self.tell(group, ToGroup::Established { channel });
        }
    }

    pub(crate) fn on_disconnected(&mut self, fabric: usize, connection: ConnectionId, reason: &'static str) {
        let channel = self.by_connection.get(&(fabric, connection)).copied();
        match channel {
            Some(channel) => self.stop_channel(channel, reason),
            None => self.fabrics[fabric].destroy(connection, None),
        }
    }

    /// The poll group is ready to receive: accept.
    pub(crate) fn on_channel_ready(&mut self, channel: ChannelId) {
        let credits = self.credits;
        let Some(entry) = self.connections.get_mut(&channel) else { return };
        if entry.state != ConnectionState::Starting {
            return;
        }
        let response = login::response(&entry.login, &entry.grant, credits, entry.others).emit();
        let parameters = AcceptParameters {
            reads_max: entry.request.reads_served.min(entry.request.device_reads_max),
            private_data: response.iter().copied().collect::<PrivateData>(),
        };
        entry.state = ConnectionState::Accepted;
        let (fabric, connection, peer, login) = (entry.fabric, entry.connection, entry.peer, entry.login);
        let session = entry.session;
        match self.fabrics[fabric].accept(connection, &parameters) {
            Ok(()) => {
                self.counts.accepted += 1;
                let whose = session.map(|session| Whose::new(session, channel)).unwrap_or_default();
                self.traces.control.login(self.now, whose, login.initiator_port_id);
                if self.comings.allows(self.now) {
                    let (initiator, target) = (login.initiator_port_id, login.target_port_id);
                    let (channel, reads) = (channel.0, parameters.reads_max);
                    tracing::info!(channel, %initiator, %peer, %target, credits, reads, "login accepted");
                }
            }
            Err(error) => {
                if self.comings.allows(self.now) {
                    tracing::warn!(channel = channel.0, %peer, %error, "the login could not be completed");
                }
                self.stop_channel(channel, "accept failed");
            }
        }
    }

    /// The poll group has no buffers for another channel.
    pub(crate) fn on_channel_refused(&mut self, channel: ChannelId, queue_pair: QueuePair) {
        let Some(entry) = self.connections.get(&channel) else { return };
        let (fabric, connection, stopping) = (entry.fabric, entry.connection, entry.state == ConnectionState::Stopping);
        if !stopping {
            let why =
                "the reactor has no buffers for another channel: raise --channels, or log in with a smaller ch_count";
            self.reject_channel(channel, &Refusal { cause: Cause::NoBuffers, why: why.into() });
        }
        self.fabrics[fabric].destroy(connection, Some(queue_pair));
        self.forget(channel);
    }

    pub(crate) fn on_channel_failed(&mut self, channel: ChannelId, reason: ChannelFailure) {
        self.counts.count_failure(reason);
        let expected = matches!(reason, ChannelFailure::LoggedOut | ChannelFailure::Work(fabric::WorkError::Flushed));
        if let Some(entry) = self.connections.get(&channel)
            && entry.state != ConnectionState::Stopping
            && !expected
            && self.refusals.allows(self.now)
        {
            tracing::warn!(channel = channel.0, peer = %entry.peer, "channel failed: {reason}");
        }
        self.stop_channel(channel, "channel failed");
    }

    /// Everything of the channel came back: nothing is left but to take it down.
    pub(crate) fn on_channel_stopped(&mut self, channel: ChannelId, queue_pair: QueuePair) {
        if let Some(entry) = self.connections.get(&channel) {
            self.fabrics[entry.fabric].destroy(entry.connection, Some(queue_pair));
        }
        self.forget(channel);
    }

    /// Ends a channel, whatever its state.
    pub(crate) fn stop_channel(&mut self, channel: ChannelId, reason: &str) {
        let Some(entry) = self.connections.get_mut(&channel) else { return };
        let (fabric, connection, group) = (entry.fabric, entry.connection, entry.group);
        match entry.state {
            ConnectionState::Stopping => {}
            ConnectionState::Waiting => {
                self.fabrics[fabric].destroy(connection, None);
                self.forget(channel);
            }
            ConnectionState::Starting | ConnectionState::Accepted | ConnectionState::Live => {
                if self.comings.allows(self.now) {
                    tracing::info!(channel = channel.0, peer = %entry.peer, reason, "channel ends");
                }
                entry.state = ConnectionState::Stopping;
                entry.since = self.now;
                self.fabrics[fabric].disconnect(connection);
                self.tell(group, ToGroup::StopChannel { channel });
            }
        }
    }

    pub(crate) fn stop_session(&mut self, session: SessionId, reason: &str) {
        let channels = self.sessions.get(&session).map(|session| session.channels.clone()).unwrap_or_default();
        for channel in channels {
            self.stop_channel(channel, reason);
        }
    }

    /// Half-open logins, and logins that wait too long for what they replace, are given up.
    pub(crate) fn check_time_limits(&mut self) {
        let now = self.now;
        let late = |entry: &Connection| {
            !matches!(entry.state, ConnectionState::Live | ConnectionState::Stopping)
                && now.since(entry.since) > limits::LOGIN_TIMEOUT
        };
        let late: Vec<ChannelId> =
            self.connections.iter().filter(|(_, entry)| late(entry)).map(|(&id, _)| id).collect();
        for channel in late {
            let waiting = self.connections.get(&channel).is_some_and(|entry| entry.state == ConnectionState::Waiting);
            if waiting {
                let why = "the channels that it replaces did not end in time".to_string();
                self.reject_channel(channel, &Refusal { cause: Cause::TimedOut, why });
            }
            self.stop_channel(channel, "the login was not completed in time");
        }
        self.start_waiting();
        self.check_drain();
    }

    /// Lets logins go on whose nexus has no old channels any more: of each nexus the newest. Older ones that still wait were given up by
    /// their initiator, and are what the newest replaces.
    fn start_waiting(&mut self) {
        let waits = |entry: &Connection| entry.state == ConnectionState::Waiting;
        let has_way =
            |(_, entry): &(&ChannelId, &Connection)| waits(entry) && self.find_session(&entry.login).is_none();
        let waiting: Vec<ChannelId> = self.connections.iter().filter(has_way).map(|(&id, _)| id).collect();
        for channel in waiting.into_iter().rev() {
            let Some(entry) = self.connections.get(&channel).filter(|entry| waits(entry)) else { continue };
            if self.find_session(&entry.login).is_none() {
                self.start_connection(channel);
            } else {
                let why = "a newer login of the same initiator took its place".to_string();
                self.reject_channel(channel, &Refusal { cause: Cause::TimedOut, why });
                self.stop_channel(channel, "a newer login took its place");
            }
        }
    }

    /// Makes the queue pair and hands it to its reactor.
    fn start_connection(&mut self, channel: ChannelId) {
        let group = self.place(channel);
        let credits = self.credits;
        let Some(entry) = self.connections.get_mut(&channel) else { return };
        let sizes = QueuePairSizes { receives: limits::receives(credits), sends: limits::send_queue_entries(credits) };
        let (fabric, connection) = (entry.fabric, entry.connection);
        let queue_pair = match self.fabrics[fabric].create_queue_pair(connection, GroupId(group as u32), sizes) {
            Ok(queue_pair) => queue_pair,
            Err(error) => {
                let refusal = Refusal { cause: Cause::NoQueuePair, why: error.to_string() };
                self.reject_channel(channel, &refusal);
                self.fabrics[fabric].destroy(connection, None);
                return self.forget(channel);
            }
        };
        entry.group = group;
        entry.state = ConnectionState::Starting;
        let (immediate_offset, statistics) = (entry.grant.immediate_offset, Arc::clone(&entry.statistics));
        self.groups[group].channels += 1;
        let Some((nexus, luns)) = self.join_session(channel) else { return };
        let start = ChannelStart { channel, fabric, queue_pair, nexus, luns, credits, immediate_offset, statistics };
        self.tell(group, ToGroup::StartChannel(Box::new(start)));
    }

    /// The reactor that a channel is for.
    fn place(&self, channel: ChannelId) -> usize {
        let session = self.connections.get(&channel).and_then(|entry| self.find_session(&entry.login));
        let siblings = session.and_then(|id| self.sessions.get(&id)).map_or(&[][..], |session| &session.channels);
        let on = |group: usize| {
            let is_there = |channel: &&ChannelId| self.connections.get(channel).is_some_and(|it| it.group == group);
            siblings.iter().filter(is_there).count()
        };
        let most = self.memory.channels(self.credits);
        let load = |(number, group): (usize, &GroupLink)| Load {
            is_full: group.channels >= most,
            of_session: on(number),
            busy_percent: group.busy_percent,
            channels: group.channels,
        };
        placement::place(&self.groups.iter().enumerate().map(load).collect::<Vec<_>>())
    }

    /// Finds or makes the session of a channel.
    fn join_session(&mut self, channel: ChannelId) -> Option<(Arc<Nexus>, Arc<LunMap>)> {
        let entry = self.connections.get(&channel)?;
        let (login, peer, target, group) = (entry.login, entry.peer, entry.grant.target, entry.grant.group);
        let id = match self.find_session(&login) {
            Some(id) => id,
            None => {
                let id = self.new_session_id();
                let target = self.targets.get(target)?;
                let group = group.and_then(|group| self.initiator_groups.get(group));
                let (relative_port, addressing) = (target.relative_port, target.addressing);
                let (initiator, target_port) = (login.initiator_port_id, login.target_port_id);
                let nexus = Nexus::new(id, initiator, target_port, relative_port, addressing);
                let session = Session {
                    nexus,
                    initiator,
                    target_port,
                    target: target.name.clone(),
                    group: group.map(|group| group.name.clone()),
                    peer,
                    channels: Vec::new(),
                    units: BTreeMap::new(),
                    luns: Arc::default(),
                    ended: SessionTotals::default(),
                };
                self.sessions.insert(id, session);
                self.refresh_luns(id);
                id
            }
        };
        let session = self.sessions.get_mut(&id)?;
        session.channels.push(channel);
        session.nexus.set_channels(session.channels.len());
        let shared = (Arc::clone(&session.nexus), Arc::clone(&session.luns));
        self.connections.get_mut(&channel)?.session = Some(id);
        Some(shared)
    }

    /// Makes a session's LUN map anew from its target and group, and tells the nexus what is behind a LUN now; returns what is left to
    /// be done.
    pub(crate) fn refresh_luns(&mut self, id: SessionId) -> LunsChange {
        let visible = self.visible_luns(id).into_iter().map(|mapped| {
            let statistics = self.lun_key(id, mapped.lun).map(|key| self.lun_statistics(key));
            (mapped, statistics)
        });
        let visible: Vec<_> = visible.collect();
        let Some(session) = self.sessions.get_mut(&id) else { return LunsChange::None };
        let (old, mut new_units, mut entries) = (Arc::clone(&session.luns), Vec::new(), Vec::new());
        for (mapped, statistics) in visible {
            let (Some(unit), Some(statistics)) = (self.units.get(mapped.unit), statistics) else { continue };
            let lun = scsi::Lun(mapped.lun);
            let before = old.find(Address::Unit(lun)).map(|index| &old.entries()[index]);
            let known = session.units.contains_key(&mapped.unit) && !new_units.contains(&mapped.unit);
            let nexus = session.units.entry(mapped.unit).or_insert_with(|| {
                let nexus = UnitNexus::new();
                nexus.establish(UnitAttention::PowerOnReset);
                new_units.push(mapped.unit);
                Arc::new(nexus)
            });
            match before {
                Some(before) if (before.unit, before.read_only) == (mapped.unit, mapped.read_only) => {}
                // The WP bit of the header.
                Some(before) if before.unit == mapped.unit => nexus.establish(UnitAttention::ModeParametersChanged),
                // Another unit than before, or one that the nexus knows by another LUN (SPC-4).
                before if before.is_some() || known => nexus.establish(UnitAttention::InquiryDataChanged),
                _ => {}
            }
            entries.push(LunEntry {
                lun,
                unit: mapped.unit,
                logical_unit: Arc::clone(&unit.logical_unit),
                nexus: Arc::clone(nexus),
                fence: Arc::clone(&unit.fence),
                read_only: mapped.read_only,
                statistics,
            });
        }
        let seen: BTreeSet<UnitId> = entries.iter().map(|entry| entry.unit).collect();
        let lost = session.units.keys().copied().filter(|unit| !seen.contains(unit)).collect::<Vec<UnitId>>();
        session.units.retain(|unit, _| seen.contains(unit));
        let new = LunMap::new(entries);
        let change = LunsChange::between(&old, &new);
        if change != LunsChange::None {
            old.set_outdated();
            session.luns = new;
        }
        let ports = session.nexus.ports;
        let lost_units = lost.iter().filter_map(|&unit| self.units.get(unit));
        lost_units.for_each(|unit| unit.logical_unit.forget_nexus(&ports));
        // Those too that it has lost: a reservation of SPC-2 goes with the LUN.
        new_units.into_iter().chain(lost).for_each(|unit| self.restrict(unit));
        change
    }

    /// Channels of whoever logs in, by its port id or by its address, whichever are more: port ids are claimed by the initiator itself,
    /// and it can have several addresses. Those that end, or that this login replaces, are not its any more.
    fn initiator_channels(&self, login: &LoginRequest, address: IpAddr) -> usize {
        let is_replaced = |entry: &Connection| {
            login.multi_channel == MultiChannelAction::Single
                && entry.login.initiator_port_id == login.initiator_port_id
                && entry.login.target_port_id == login.target_port_id
        };
        let (mut by_port, mut by_address) = (0, 0);
        for entry in self.connections.values() {
            if entry.state != ConnectionState::Stopping && !is_replaced(entry) {
                by_port += usize::from(entry.login.initiator_port_id == login.initiator_port_id);
                by_address += usize::from(entry.peer.ip().to_canonical() == address.to_canonical());
            }
        }
        by_port.max(by_address)
    }

    fn find_session(&self, login: &LoginRequest) -> Option<SessionId> {
        let same = |session: &Session| {
            session.initiator == login.initiator_port_id && session.target_port == login.target_port_id
        };
        self.sessions.iter().find(|(_, session)| same(session)).map(|(&id, _)| id)
    }

    /// Refuses a connection that never got a channel.
    fn refuse(
        &mut self,
        fabric: usize,
        connection: ConnectionId,
        request: &ConnectRequest,
        login: Option<&LoginRequest>,
        refusal: &Refusal,
    ) {
        let initiator = login.map(|login| login.initiator_port_id).unwrap_or_default();
        self.traces.control.login_refused(self.now, initiator, refusal.cause.reason() as u32);
        self.counts.count_refusal(refusal.cause);
        if self.refusals.allows(self.now) {
            let initiator = login.map(|login| login.initiator_port_id.to_string()).unwrap_or_default();
            tracing::warn!(initiator, peer = %request.peer, reason = %format_args!("{:#x}", refusal.cause.reason() as u32), "login refused: {}", refusal.why);
        }
        self.fabrics[fabric].reject(connection, &login::reject(login, refusal.cause.reason()).emit());
        self.fabrics[fabric].destroy(connection, None);
    }

    /// Refuses a connection that has a channel entry already. The caller takes it down.
    fn reject_channel(&mut self, channel: ChannelId, refusal: &Refusal) {
        let Some(entry) = self.connections.get(&channel) else { return };
        self.traces.control.login_refused(self.now, entry.login.initiator_port_id, refusal.cause.reason() as u32);
        self.counts.count_refusal(refusal.cause);
        if self.refusals.allows(self.now) {
            let (initiator, reason) = (entry.login.initiator_port_id, refusal.cause.reason() as u32);
            tracing::warn!(%initiator, peer = %entry.peer, reason = %format_args!("{reason:#x}"), "login refused: {}", refusal.why);
        }
        let reject = login::reject(Some(&entry.login), refusal.cause.reason()).emit();
        self.fabrics[entry.fabric].reject(entry.connection, &reject);
    }

    /// Takes a channel out of all tables; its session ends with its last channel.
    fn forget(&mut self, channel: ChannelId) {
        let Some(entry) = self.connections.remove(&channel) else { return };
        self.by_connection.remove(&(entry.fabric, entry.connection));
        let Some(id) = entry.session else { return };
        self.groups[entry.group].channels = self.groups[entry.group].channels.saturating_sub(1);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.channels.retain(|&other| other != channel);
            session.ended.add(&entry.statistics);
            session.nexus.set_channels(session.channels.len());
            if session.channels.is_empty() {
                self.traces.control.session_ended(self.now, Whose::new(id, channel), session.initiator);
                if self.comings.allows(self.now) {
                    let (initiator, target) = (session.initiator, &session.target);
                    tracing::info!(session = id.0, %initiator, target, "session ended");
                }
                let ports = session.nexus.ports;
                let units: Vec<UnitId> = session.units.keys().copied().collect();
                self.sessions.remove(&id);
                self.units.iter().for_each(|(_, unit)| unit.logical_unit.forget_nexus(&ports));
                units.into_iter().for_each(|unit| self.restrict(unit));
            }
        }
    }
}

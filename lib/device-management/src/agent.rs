//! What the agent answers, without a port: a directory of targets, and a datagram for a datagram.

use crate::wire::{
    self, Data, IoControllerProfile, MAD_BYTES, Query, Request, SERVICES_MAX, SLOTS_MAX, Status, Unanswerable,
};

/// Slots that there are even if fewer are taken, so that the unit does not change its size with each target.
const SLOTS_MIN: usize = 16;

/// What initiators are told of a target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// What people know it by.
    pub name: String,
    /// The `id_ext` of logins.
    pub id_ext: u64,
    /// The `ioc_guid` of logins.
    pub ioc_guid: u64,
}

/// What is the same for all targets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Where logins are awaited.
    pub service_ids: Vec<u64>,
    /// Requests that a channel can have under way.
    pub send_queue_depth: u16,
    /// RDMA READs that a channel can have under way.
    pub rdma_read_depth: u8,
    /// Longest request, in bytes.
    pub send_bytes: u32,
    /// Longest RDMA transfer in bytes.
    pub rdma_bytes: u32,
}

/// The targets, each in a slot that it keeps while it is there.
#[derive(Debug)]
pub struct Directory {
    settings: Settings,
    change_id: u16,
    slots: Vec<Option<Target>>,
}

impl Directory {
    /// One without targets.
    pub fn new(mut settings: Settings) -> Directory {
        settings.service_ids.truncate(SERVICES_MAX);
        Directory { settings, change_id: 1, slots: vec![None; SLOTS_MIN] }
    }

    /// Logins are awaited at these service ids now. Returns whether that is a change; as with [`Directory::set_targets`].
    pub fn set_service_ids(&mut self, service_ids: &[u64]) -> bool {
        let service_ids = &service_ids[..service_ids.len().min(SERVICES_MAX)];
        let changed = service_ids != self.settings.service_ids;
        self.settings.service_ids = service_ids.to_vec();
        self.change_id = self.change_id.wrapping_add(u16::from(changed));
        changed
    }

    /// These are the targets now. Returns whether that is a change; then the number that initiators know changes by is another. Those that find no
    /// slot are not told of.
    pub fn set_targets(&mut self, targets: &[Target]) -> bool {
        let mut slots = self.slots.clone();
        for slot in &mut slots {
            slot.take_if(|kept| !targets.contains(kept));
        }
        for target in targets {
            if slots.iter().flatten().any(|kept| kept == target) {
                continue;
            }
            match slots.iter().position(Option::is_none) {
                Some(free) => slots[free] = Some(target.clone()),
                None if slots.len() < SLOTS_MAX => slots.push(Some(target.clone())),
                None => break,
            }
        }
        while slots.len() > SLOTS_MIN && slots.last().is_some_and(Option::is_none) {
            slots.pop();
        }
        let changed = slots != self.slots;
        self.slots = slots;
        self.change_id = self.change_id.wrapping_add(u16::from(changed));
        changed
    }

    /// The answer to a datagram.
    ///
    /// # Errors
    /// It is none that is answered.
    pub fn answer(&self, mad: &[u8]) -> Result<Answer, Unanswerable> {
        let request = Request::parse(mad)?;
        Ok(match request.query.and_then(|query| self.look_up(query)) {
            Ok(data) => Answer { mad: request.answer(Status::Good, &data), status: Status::Good },
            Err(status) => Answer { mad: request.answer(status, &[0; _]), status },
        })
    }

    fn look_up(&self, query: Query) -> Result<Data, Status> {
        match query {
            Query::ClassPortInfo => Ok(wire::class_port_info()),
            Query::IoUnitInfo => {
                let taken: Vec<bool> = self.slots.iter().map(Option::is_some).collect();
                Ok(wire::io_unit_info(self.change_id, &taken))
            }
            Query::IoControllerProfile { slot } => Ok(self.profile(self.target(slot)?)),
            Query::ServiceEntries { slot, first, last } => {
                let target = self.target(slot)?;
                let asked = self.settings.service_ids.get(usize::from(first)..=usize::from(last));
                Ok(wire::service_entries(target.id_ext, asked.ok_or(Status::InvalidField)?))
            }
        }
    }

    fn target(&self, slot: u8) -> Result<&Target, Status> {
        let index = usize::from(slot).checked_sub(1).ok_or(Status::InvalidField)?;
        self.slots.get(index).ok_or(Status::InvalidField)?.as_ref().ok_or(Status::NoController)
    }

    fn profile(&self, target: &Target) -> Data {
        let Settings { ref service_ids, send_queue_depth, rdma_read_depth, send_bytes, rdma_bytes } = self.settings;
        let profile = IoControllerProfile {
            guid: target.ioc_guid,
            send_queue_depth,
            rdma_read_depth,
            send_bytes,
            rdma_bytes,
            services: u8::try_from(service_ids.len()).unwrap_or(u8::MAX),
            name: &format!("srpt {}", target.name),
        };
        profile.emit()
    }
}

/// What is sent back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The whole datagram.
    pub mad: [u8; MAD_BYTES],
    /// What it says of the request.
    pub status: Status,
}

#[cfg(test)]
#[path = "agent_tests.rs"]
mod tests;

//! A unit with a place to save things, for tests of commands from CDB to effect.

use std::cell::RefCell;

use super::{ControlReply, Effect};
use crate::nexus::UnitAttention;
use crate::saved::{Keeper, Saved, Store, StoreError};
use crate::testing::{Disk, PORTS, context, groups, perform_alone};
use crate::{Context, Ending, LogicalUnit, PortIds, Sense, Step, begin};

/// What was saved last; `fails` is why nothing can be.
#[derive(Default)]
pub(crate) struct Memory {
    saved: RefCell<Option<Saved>>,
    pub(crate) fails: bool,
}

impl Store for Memory {
    fn load(&self, _: u64) -> Result<Saved, StoreError> {
        Ok(self.saved.borrow().clone().unwrap_or_default())
    }

    fn save(&self, _: u64, saved: &Saved) -> Result<(), StoreError> {
        if self.fails {
            return Err(StoreError("no room".to_owned()));
        }
        *self.saved.borrow_mut() = Some(saved.clone());
        Ok(())
    }
}

/// A unit, where it saves things, and whom it told what.
pub(crate) struct Host {
    pub(crate) unit: LogicalUnit,
    pub(crate) store: Option<Memory>,
    pub(crate) disk: Disk,
    /// What the other initiators were told.
    pub(crate) told: Vec<UnitAttention>,
    saved: Saved,
}

pub(crate) const GOOD: Result<Vec<u8>, Sense> = Ok(Vec::new());

/// Another initiator port.
pub(crate) const OTHER: PortIds = PortIds { initiator_port_id: [0x44; 16], ..PORTS };

impl Host {
    /// It can save things.
    pub(crate) fn new(unit: LogicalUnit) -> Host {
        unit.restore(&Saved::default());
        Host { store: Some(Memory::default()), ..Host::without_store(unit) }
    }

    pub(crate) fn without_store(unit: LogicalUnit) -> Host {
        Host { unit, store: None, disk: Disk::default(), told: Vec::new(), saved: Saved::default() }
    }

    /// The same unit after the target was killed and started again.
    pub(crate) fn restarted(self, unit: LogicalUnit) -> Host {
        let saved = self.store.as_ref().map(|store| store.load(0).expect("memory")).unwrap_or_default();
        unit.restore(&saved);
        Host { unit, saved, told: Vec::new(), ..self }
    }

    pub(crate) fn run(&mut self, cdb: &[u8], data_out: &[u8]) -> Result<Vec<u8>, Sense> {
        self.run_by(&PORTS, cdb, data_out)
    }

    /// What the initiator at these ports gets.
    pub(crate) fn run_by(&mut self, ports: &PortIds, cdb: &[u8], data_out: &[u8]) -> Result<Vec<u8>, Sense> {
        let context = Context { ports, data_out_len: data_out.len() as u32, ..context(&self.unit) };
        let mut job = match begin(cdb, &context) {
            Ok(job) => job,
            Err(Ending::CheckCondition(sense)) => return Err(sense),
            Err(other) => panic!("{cdb:02x?} ended with {other:?}"),
        };
        assert_eq!(job.data_out_len() as usize, data_out.len(), "{cdb:02x?}");
        let mut buffer = vec![0xee; job.buffer_len()];
        buffer[..data_out.len()].copy_from_slice(data_out);
        let mut last = None;
        loop {
            match job.step(&context, last.take(), &mut buffer) {
                Step::Done(Ending::Good { data_in }) => return Ok(buffer[data_in].to_vec()),
                Step::Done(Ending::CheckCondition(sense)) => return Err(sense),
                Step::Control { request, parameters } => {
                    let store = self.store.as_ref().map(|store| store as &dyn Store);
                    let mut keeper = Keeper { saved: &mut self.saved, store, failure: None };
                    let outcome =
                        perform_alone(request, &buffer[parameters], &self.unit, ports, &groups(), &mut keeper);
                    self.told.extend(outcome.effects.iter().filter_map(|effect| match effect {
                        Effect::TellOthers(attention) => Some(*attention),
                        _ => None,
                    }));
                    return match outcome.reply {
                        ControlReply::Good(data) => Ok(data[..data.len().min(job.data_in_len() as usize)].to_vec()),
                        ControlReply::CheckCondition(sense) => Err(sense),
                        ControlReply::Status(status) => panic!("{cdb:02x?} ended with {status:?}"),
                    };
                }
                Step::Answer | Step::Claim => {}
                step @ Step::Io { .. } => last = Some(self.disk.execute(&self.unit, step, &mut buffer)),
                Step::Done(other) => panic!("{cdb:02x?} ended with {other:?}"),
            }
        }
    }
}

//! One logical unit: a block device with a SCSI identity.

mod facts;
mod options;
mod remembered;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use bdev::{Bdev, ProtectionType};

use crate::answer::vpd;
use crate::cd::Drive;
use crate::eui64::Eui64;
use crate::execute::Designation;
use crate::medium::condition::MediumCondition;
use crate::medium::generation::Generations;
use crate::state::{Counts, State};
use crate::task_set::TaskSet;
use crate::wire::cdb::BlockRange;
use crate::wire::sense::Sense;

pub(crate) use facts::{Facts, Way};
pub(crate) use options::Identity;
pub use options::{DefaultIdentity, DeviceType, UnitError, UnitOptions};

/// One logical unit. Shared by all cores: its facts are fixed, and what may change is in atomics.
#[derive(Debug)]
pub struct LogicalUnit {
    bdev: Arc<Bdev>,
    identity: Identity,
    facts: Facts,
    /// Of a CD drive.
    drive: Option<Drive>,
    control: AtomicU8,
    /// See [`LogicalUnit::protection`], as its number.
    protection: AtomicU8,
    /// An operation found the device gone, and none since that it is back.
    gone: AtomicBool,
    /// See [`LogicalUnit::set_space`].
    space_bytes: AtomicU64,
    /// See [`LogicalUnit::set_free_space`].
    free_bytes: AtomicU64,
    state: State,
    task_set: TaskSet,
    condition: MediumCondition,
    generations: Generations,
}

/// When initiators are told that space runs short, in the units of SBC-3: sets of 2^exponent blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ProvisioningThreshold {
    /// THRESHOLD EXPONENT, never 0.
    pub(crate) exponent: u8,
    /// THRESHOLD COUNT: sets in use.
    pub(crate) sets: u32,
}

/// Size of a threshold set, unless the capacity is so large that its sets could not be counted in 32 bits.
const THRESHOLD_SET_BYTES: u64 = 1 << 20;

impl LogicalUnit {
    /// Checks the options and makes the unit.
    ///
    /// # Errors
    /// Names the option, or the property of the device, that does not fit and what to change.
    pub fn new(options: UnitOptions) -> Result<LogicalUnit, UnitError> {
        let facts = Facts::new(&options)?;
        // One that waits for its file is made all the same, and is not ready.
        if options.bdev.num_blocks() == 0 && options.bdev.is_ready() && options.bdev.info().passthrough.is_none() {
            return Err(UnitError::Empty);
        }
        let identity = Identity::new(&options)?;
        let protection = options.bdev.info().metadata.map_or(ProtectionType::None, |metadata| metadata.protection);
        let protection = AtomicU8::new(protection.number() as u8);
        let (control, gone, space_bytes) = (AtomicU8::new(remembered::TAS), AtomicBool::new(false), AtomicU64::new(0));
        Ok(LogicalUnit {
            bdev: options.bdev,
            identity,
            facts,
            drive: (options.device_type == DeviceType::CdRom).then(Drive::default),
            control,
            protection,
            gone,
            space_bytes,
            free_bytes: AtomicU64::new(0),
            state: State::new(),
            task_set: TaskSet::new(options.queue_depth),
            condition: MediumCondition::default(),
            generations: Generations::default(),
        })
    }

    /// Product identification.
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// T10 VENDOR IDENTIFICATION of INQUIRY, without padding.
    pub fn vendor(&self) -> &str {
        &self.identity.vendor
    }

    /// PRODUCT REVISION LEVEL of INQUIRY, without padding.
    pub fn revision(&self) -> &str {
        &self.identity.revision
    }

    /// Unit serial number.
    pub fn serial(&self) -> &str {
        &self.identity.serial
    }

    /// NAA designator.
    pub fn naa(&self) -> u64 {
        self.identity.naa
    }

    /// EUI-64 designator, if it has one.
    pub fn eui64(&self) -> Option<Eui64> {
        self.identity.eui64
    }

    /// Where it is configured, if initiators are told.
    pub fn management_url(&self) -> Option<&str> {
        self.identity.management_url.as_deref()
    }

    /// The device underneath.
    pub fn bdev(&self) -> &Arc<Bdev> {
        &self.bdev
    }

    /// Bytes of data in a logical block; its metadata is not counted (SBC-3: logical block length).
    pub fn block_size(&self) -> u32 {
        self.facts.block_size
    }

    /// Logical blocks in all, as of now.
    #[inline]
    pub fn num_blocks(&self) -> u64 {
        self.bdev.num_blocks()
    }

    /// Most bytes of one READ or WRITE.
    pub fn transfer_bytes_max(&self) -> u32 {
        self.facts.transfer_bytes_max
    }

    /// Whether the unit as a whole refuses writes; a LUN map may do so for one initiator.
    #[inline]
    pub fn is_read_only(&self) -> bool {
        self.facts.read_only || self.bdev.is_read_only()
    }

    /// What a command that needs the medium is refused with while there is none.
    ///
    /// # Errors
    /// NOT READY: MEDIUM NOT PRESENT where it can be taken out, else MANUAL INTERVENTION REQUIRED; INITIALIZING COMMAND REQUIRED of a
    /// unit that START STOP UNIT stopped.
    #[inline]
    pub(crate) fn check_ready(&self) -> Result<(), Sense> {
        if let Some(drive) = &self.drive {
            return drive.check_ready(self.bdev.is_ready());
        }
        match self.bdev.is_ready() {
            true => self.state.check_medium(),
            false if self.bdev.info().removable => Err(Sense::MEDIUM_NOT_PRESENT),
            false => Err(Sense::NOT_READY_MANUAL_INTERVENTION),
        }
    }

    /// Whether nothing of it concerns a READ or WRITE: an ordinary disk that is ready, with its medium usable.
    #[inline(always)]
    pub(crate) fn is_plain(&self) -> bool {
        let ordinary = self.facts.way == Way::Plain && self.drive.is_none();
        ordinary && self.bdev.is_ready() && self.state.is_plain() && self.condition.check().is_ok()
    }

    /// Whether blocks have room for protection information (SPC-4: PROTECT), be it used or not.
    pub fn has_metadata(&self) -> bool {
        self.facts.way == Way::Protected
    }

    /// The type of protection that the unit is formatted with: at first what its device was made for.
    pub fn protection(&self) -> ProtectionType {
        ProtectionType::of_number(self.protection.load(Ordering::Relaxed).into()).unwrap_or_default()
    }

    /// Sets it, where there is room for it. The caller has seen to it that the medium is formatted so and that nothing is under way, and
    /// establishes CAPACITY DATA HAS CHANGED for all initiators.
    pub fn set_protection(&self, protection: ProtectionType) {
        if self.has_metadata() {
            self.protection.store(protection.number() as u8, Ordering::Relaxed);
        }
    }

    /// Whether commands that have been started may go on to the device: not while its medium is being formatted or sanitized (SBC-4: commands in
    /// all task sets are terminated then), nor after that failed. For all but the command that does it ([`crate::Job::runs_on`]).
    ///
    /// # Errors
    /// What they end with.
    #[inline]
    pub fn check_medium(&self) -> Result<(), Sense> {
        self.condition.check()
    }

    /// Whether its medium can be used.
    pub(crate) fn condition(&self) -> &MediumCondition {
        &self.condition
    }

    /// Which generation ORWRITE's bitmaps are of.
    pub(crate) fn generations(&self) -> &Generations {
        &self.generations
    }

    /// What a command that changes the medium is refused with where that is forbidden; `read_only`: by the LUN map.
    ///
    /// # Errors
    /// DATA PROTECT, saying by whom.
    pub(crate) fn check_writable(&self, read_only: bool) -> Result<(), Sense> {
        match () {
            () if read_only || self.is_read_only() => Err(Sense::WRITE_PROTECTED),
            () if self.software_write_protect() => Err(Sense::SOFTWARE_WRITE_PROTECTED),
            () => Ok(()),
        }
    }

    /// PERIPHERAL DEVICE TYPE (SPC-4).
    pub(crate) fn device_type(&self) -> u8 {
        const DIRECT_ACCESS: u8 = 0x00;
        const CD_DVD: u8 = 0x05;
        if self.drive.is_some() { CD_DVD } else { DIRECT_ACCESS }
    }

    /// The drive, if it is a CD drive.
    #[inline]
    pub fn drive(&self) -> Option<&Drive> {
        self.drive.as_ref()
    }

    /// Whether it is what a designation descriptor names: one of those of the unit itself in VPD page 83h. A SCSI device has
    /// its own, which nobody here knows; and no third-party copy knows of metadata.
    pub fn is_named(&self, descriptor: &Designation<'_>) -> bool {
        self.facts.way == Way::Plain && vpd::names(&self.identity, descriptor)
    }

    /// Notes how much space there is beneath, free or not. It is asked of the device elsewhere, as that may take long.
    pub fn set_space(&self, total_bytes: u64) {
        self.space_bytes.store(total_bytes, Ordering::Relaxed);
    }

    /// Notes how much of the space beneath is free, likewise.
    pub fn set_free_space(&self, free_bytes: u64) {
        self.free_bytes.store(free_bytes, Ordering::Relaxed);
    }

    /// Space beneath that is available and that is used, in threshold sets.
    pub(crate) fn space_sets(&self) -> Option<(u32, u32)> {
        let set_bytes = u64::from(self.facts.stored_block_size) << self.provisioning_threshold()?.exponent;
        let sets = |bytes: u64| u32::try_from(bytes / set_bytes).unwrap_or(u32::MAX);
        let (total, free) = (self.space_bytes.load(Ordering::Relaxed), self.free_bytes.load(Ordering::Relaxed));
        Some((sets(free), sets(total.saturating_sub(free))))
    }

    /// The threshold as SBC-3 counts it, in sets whose size follows from the capacity.
    pub(crate) fn provisioning_threshold(&self) -> Option<ProvisioningThreshold> {
        let percent = self.facts.threshold_percent.filter(|_| self.facts.unmap)?;
        let bytes = u128::from(self.space_bytes.load(Ordering::Relaxed)) * u128::from(percent) / 100;
        let mut exponent = (THRESHOLD_SET_BYTES / u64::from(self.facts.block_size)).ilog2();
        while self.num_blocks() >> exponent > u64::from(u32::MAX) {
            exponent += 1;
        }
        let sets = u32::try_from((bytes / u128::from(self.facts.stored_block_size)) >> exponent).unwrap_or(u32::MAX);
        Some(ProvisioningThreshold { exponent: exponent as u8, sets })
    }

    /// Its task set.
    pub fn task_set(&self) -> &TaskSet {
        &self.task_set
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// What it has done so far.
    pub(crate) fn counts(&self) -> Counts {
        Counts { io: self.bdev.io_stat(), failures: self.state.failures(), at: self.state.age() }
    }

    /// Whether the device was gone when it was last heard of.
    #[inline]
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    pub(crate) fn set_gone(&self, gone: bool) {
        self.gone.store(gone, Ordering::Relaxed);
    }

    /// The same unit on a device with other properties.
    #[cfg(any(test, feature = "test-utils"))]
    pub(crate) fn with_facts(mut self, change: impl FnOnce(&mut Facts)) -> LogicalUnit {
        change(&mut self.facts);
        self
    }

    #[cfg(test)]
    pub(crate) fn with_eui64(mut self, eui64: Option<Eui64>) -> LogicalUnit {
        self.identity.eui64 = eui64;
        self
    }

    #[inline]
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Refuses a range that does not end within the capacity.
    #[inline]
    pub(crate) fn check_range(&self, range: BlockRange) -> Result<(), Sense> {
        match range.lba.checked_add(range.blocks) {
            Some(end) if end <= self.num_blocks() => Ok(()),
            _ => Err(Sense::LBA_OUT_OF_RANGE),
        }
    }
}

#[cfg(test)]
#[path = "unit_tests.rs"]
mod tests;

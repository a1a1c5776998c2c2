//! One logical unit: a block device with a SCSI identity.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use bdev::{Bdev, ProtectionType};
use uuid::Uuid;

use crate::answer::vpd;
use crate::cd::{self, Drive};
use crate::eui64::Eui64;
use crate::execute::{Designation, PortIds};
use crate::limits::{
    BLOCK_BYTES_MAX, BLOCK_BYTES_MIN, BUFFER_ALIGN, PROTECTION_BYTES_MAX, SERIAL_BYTES_MAX, TRANSFER_BYTES_MIN,
    UNMAP_BYTES_MAX, WRITE_SAME_BYTES_MAX,
};
use crate::medium::condition::MediumCondition;
use crate::medium::generation::Generations;
use crate::mode::ModeParameters;
use crate::saved::Saved;
use crate::state::{Counts, State};
use crate::task_set::TaskSet;
use crate::wire::cdb::BlockRange;
use crate::wire::sense::Sense;

/// What a unit is made of. [`UnitOptions::new`] fills in everything that has a default.
#[derive(Clone)]
pub struct UnitOptions {
    /// Product identification, given by the administrator: 1 to 16 printable ASCII characters.
    pub name: String,
    /// T10 vendor identification: 1 to 8 printable ASCII characters.
    pub vendor: String,
    /// Product revision level: 1 to 4 printable ASCII characters.
    pub revision: String,
    /// Unit serial number, 1 to [`SERIAL_BYTES_MAX`] printable ASCII characters. Default: the device's UUID as 32
    /// hexadecimal digits.
    pub serial: Option<String>,
    /// NAA designator of 8 bytes (SPC-4; the top four bits 2h, 3h or 5h). Default: locally assigned (3h) with the
    /// low 60 bits of the FNV-1a hash of the device's UUID.
    pub naa: Option<u64>,
    /// EUI-64 designator, shown beside the NAA one. Default: none.
    pub eui64: Option<Eui64>,
    /// Where the unit is configured (VPD page 85h): a URL of at most 255 printable ASCII characters without spaces. Default: none.
    pub management_url: Option<String>,
    /// The device underneath.
    pub bdev: Arc<Bdev>,
    /// What initiators take it for.
    pub device_type: DeviceType,
    /// Refuse writes even though the device would take them.
    pub read_only: bool,
    /// Largest buffer of the transport in bytes, and so the largest READ or WRITE; at least [`TRANSFER_BYTES_MIN`].
    pub transfer_bytes_max: u32,
    /// Most commands that it takes at one time, of all initiators together; `None`: as many as come.
    pub queue_depth: Option<u32>,
}

/// What a unit is to initiators (SPC-4: PERIPHERAL DEVICE TYPE). SCSI devices say themselves what they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DeviceType {
    /// Direct access block device, 00h.
    #[default]
    Disk,
    /// CD/DVD device, 05h: a drive that reads, with a disc that can be taken out.
    CdRom,
}

/// Why a unit cannot be made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UnitError {
    /// A string that INQUIRY returns has the wrong length or other than printable ASCII characters.
    #[error("{field}: '{value}' must have 1 to {most} characters, printable ASCII only and no space at either end")]
    Text {
        /// The option.
        field: &'static str,
        /// What it said.
        value: String,
        /// Longest allowed.
        most: usize,
    },
    /// The URL has the wrong length or other than printable ASCII characters.
    #[error("management_url: '{0}' must have 1 to {URL_CHARACTERS_MAX} characters, printable ASCII without spaces")]
    Url(String),
    /// An NAA designator of a form that has not 8 bytes.
    #[error("naa: {0:016x} must start with hexadecimal digit 3 (locally assigned), 2 or 5 (IEEE)")]
    Naa(u64),
    /// The device's blocks are of a size that cannot be served.
    #[error(
        "block size {0} of the device is not supported: choose one of {BLOCK_BYTES_MIN} to {BLOCK_BYTES_MAX} bytes"
    )]
    BlockSize(u32),
    /// The device wants buffers aligned more strictly than the transport does.
    #[error("the device wants buffers aligned to {0} bytes; at most {BUFFER_ALIGN} are supported")]
    BufferAlign(usize),
    /// A CD's blocks are of one size.
    #[error("block size {0} of the device is not that of a CD: create it with block_size {BLOCK}", BLOCK = cd::BLOCK_BYTES)]
    CdBlockSize(u32),
    /// The device has no block.
    #[error("the device has no blocks: give it a size")]
    Empty,
    /// The transport's buffers are too small.
    #[error("transfer_bytes_max {0} must be at least {TRANSFER_BYTES_MIN}")]
    TransferBytes(u32),
}

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

/// What INQUIRY says about a unit.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) vendor: String,
    pub(crate) revision: String,
    pub(crate) serial: String,
    pub(crate) naa: u64,
    pub(crate) eui64: Option<Eui64>,
    pub(crate) management_url: Option<String>,
}

/// What the commands need to know of the device; copied so that the data path reads one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Facts {
    /// How its commands go.
    pub(crate) way: Way,
    /// Bytes of data in a block: what initiators take for its size.
    pub(crate) block_size: u32,
    /// Bytes that the device moves for a block: with its metadata, if it has any.
    pub(crate) stored_block_size: u32,
    /// Logical blocks per physical block, as a power of two.
    pub(crate) physical_exponent: u8,
    pub(crate) write_cache: bool,
    pub(crate) read_only: bool,
    pub(crate) unmap: bool,
    pub(crate) unmap_zeroes: bool,
    pub(crate) lba_status: bool,
    pub(crate) rotational: bool,
    pub(crate) removable: bool,
    pub(crate) optimal_blocks: u32,
    /// Most blocks that the device writes all or not at all; 0: it makes no promise.
    pub(crate) atomic_blocks: u32,
    /// Percentage of the space beneath in use that initiators are told of, if they are to be.
    pub(crate) threshold_percent: Option<u8>,
    /// Multiple of [`BUFFER_ALIGN`], so that a scratch part can follow the data.
    pub(crate) transfer_bytes_max: u32,
}

/// How the commands of a unit go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// Blocks are what initiators see of them.
    Plain,
    /// Blocks have metadata (`protection.rs`).
    Protected,
    /// Its device is a SCSI device itself (`through.rs`).
    Through,
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

const D_SENSE: u8 = 0x01;
const SWP: u8 = 0x02;
const TAS: u8 = 0x04;

/// Transfer limit of [`UnitOptions::new`].
const TRANSFER_BYTES_DEFAULT: u32 = 1 << 20;
const NAME_CHARACTERS_MAX: usize = 16;
const VENDOR_CHARACTERS_MAX: usize = 8;
const REVISION_CHARACTERS_MAX: usize = 4;
const URL_CHARACTERS_MAX: usize = 255;
/// Our version's first two numbers: what fits in a product revision level.
const REVISION_DEFAULT: &str = concat!(env!("CARGO_PKG_VERSION_MAJOR"), ".", env!("CARGO_PKG_VERSION_MINOR"));

impl UnitOptions {
    /// A unit on `bdev` with all defaults: named like the device, as far as 16 printable characters go.
    pub fn new(bdev: Arc<Bdev>) -> UnitOptions {
        let printable = |c: char| if c.is_ascii_graphic() { c } else { '_' };
        if let Some(device) = &bdev.info().passthrough {
            return UnitOptions::of_device(Arc::clone(&bdev), device);
        }
        UnitOptions {
            name: bdev.info().name.chars().map(printable).take(NAME_CHARACTERS_MAX).collect(),
            vendor: "SRPT".to_owned(),
            revision: REVISION_DEFAULT.to_owned(),
            serial: None,
            naa: None,
            eui64: None,
            management_url: None,
            bdev,
            device_type: DeviceType::Disk,
            read_only: false,
            transfer_bytes_max: TRANSFER_BYTES_DEFAULT,
            queue_depth: None,
        }
    }

    /// A SCSI device says itself what it is; this is only what we call it.
    fn of_device(bdev: Arc<Bdev>, device: &bdev::passthrough::Facts) -> UnitOptions {
        let known = |text: &str, most: usize| {
            let text: String = text.trim().chars().take(most).collect();
            if text.trim().is_empty() { "unknown"[..most.min(7)].to_owned() } else { text.trim().to_owned() }
        };
        UnitOptions {
            name: known(&device.product, NAME_CHARACTERS_MAX),
            vendor: known(&device.vendor, VENDOR_CHARACTERS_MAX),
            revision: known(&device.revision, REVISION_CHARACTERS_MAX),
            serial: device.serial.as_ref().map(|serial| known(serial, SERIAL_BYTES_MAX)),
            naa: None,
            eui64: None,
            management_url: None,
            bdev,
            device_type: DeviceType::Disk,
            read_only: false,
            transfer_bytes_max: TRANSFER_BYTES_DEFAULT,
            queue_depth: None,
        }
    }
}

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
        let (control, gone, space_bytes) = (AtomicU8::new(TAS), AtomicBool::new(false), AtomicU64::new(0));
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

    /// A logical unit reset (SAM-5 6.3.3): the mode parameters are as they were saved, else the defaults, nobody prevents the removal
    /// of the medium, and it is started. The caller aborts its commands and establishes the unit attention.
    pub fn reset(&self) {
        self.set_mode(&self.saved_mode());
        self.state.reset();
    }

    /// Takes over what was saved before it was used; what is no legal value is left at its default. From now on it can save.
    pub fn restore(&self, saved: &Saved) {
        self.state.set_can_save();
        let mode = ModeParameters { exceptions: saved.mode.exceptions.legal(), ..saved.mode };
        let mut kept = self.state.kept();
        kept.mode = mode;
        kept.identifying = Some(&saved.identifying).filter(|it| it.is_legal()).cloned().unwrap_or_default();
        kept.application = Some(&saved.application).filter(|it| it.is_legal()).cloned().unwrap_or_default();
        drop(kept);
        self.set_mode(&mode);
        if let Some(protection) = saved.protection() {
            self.set_protection(protection);
        }
    }

    /// A nexus is gone (SAM-5: I_T nexus loss), and with it what the unit knew of it.
    pub fn forget_nexus(&self, ports: &PortIds) {
        self.state.forget(ports);
    }

    /// Somebody put a medium in: it is not ejected any more.
    pub fn load_medium(&self) {
        self.state.set_ejected(false);
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

    /// The D_SENSE bit of the control mode page: sense data goes out in descriptor format.
    pub fn descriptor_sense(&self) -> bool {
        self.control(D_SENSE)
    }

    /// Sets the D_SENSE bit. The caller establishes MODE PARAMETERS CHANGED for the other initiators.
    pub fn set_descriptor_sense(&self, on: bool) {
        self.set_control(D_SENSE, on);
    }

    /// The TAS bit of the control mode page: commands that another initiator aborts end with TASK ABORTED, not silently.
    /// Set at first, so that nobody waits for a timeout.
    pub fn task_aborted_status(&self) -> bool {
        self.control(TAS)
    }

    /// Sets the TAS bit. The caller establishes MODE PARAMETERS CHANGED for the other initiators.
    pub fn set_task_aborted_status(&self, on: bool) {
        self.set_control(TAS, on);
    }

    /// The SWP bit of the control mode page: writes are refused until it is cleared.
    pub fn software_write_protect(&self) -> bool {
        self.control(SWP)
    }

    /// Sets the SWP bit. The caller establishes MODE PARAMETERS CHANGED for the other initiators.
    pub fn set_software_write_protect(&self, on: bool) {
        self.set_control(SWP, on);
    }

    /// Its task set.
    pub fn task_set(&self) -> &TaskSet {
        &self.task_set
    }

    /// The mode parameters as they are.
    pub(crate) fn mode(&self) -> ModeParameters {
        ModeParameters {
            descriptor_sense: self.descriptor_sense(),
            queue_error: self.task_set.queue_error(),
            attention_interlock: self.task_set.attention_interlock(),
            software_write_protect: self.software_write_protect(),
            task_aborted_status: self.task_aborted_status(),
            write_cache: !self.state.is_write_through(),
            exceptions: self.state.exceptions(),
        }
    }

    /// Sets them all. The caller establishes MODE PARAMETERS CHANGED for the other initiators.
    pub(crate) fn set_mode(&self, mode: &ModeParameters) {
        self.set_descriptor_sense(mode.descriptor_sense);
        self.task_set.set_queue_error(mode.queue_error);
        self.task_set.set_attention_interlock(mode.attention_interlock);
        self.set_software_write_protect(mode.software_write_protect);
        self.set_task_aborted_status(mode.task_aborted_status);
        self.state.set_write_through(!mode.write_cache);
        self.state.set_exceptions(mode.exceptions);
    }

    /// The mode parameters as they were saved, else the defaults.
    pub(crate) fn saved_mode(&self) -> ModeParameters {
        self.state.kept().mode
    }

    /// There is somewhere to save things.
    pub(crate) fn can_save(&self) -> bool {
        self.state.can_save()
    }

    /// Writes must be on the medium before they are answered, although there is a cache: WCE is clear.
    #[inline]
    pub(crate) fn is_write_through(&self) -> bool {
        self.state.is_write_through() && self.facts.write_cache
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

    fn control(&self, bit: u8) -> bool {
        self.control.load(Ordering::Relaxed) & bit != 0
    }

    fn set_control(&self, bit: u8, on: bool) {
        match on {
            true => self.control.fetch_or(bit, Ordering::Relaxed),
            false => self.control.fetch_and(!bit, Ordering::Relaxed),
        };
    }
}

impl Facts {
    fn new(options: &UnitOptions) -> Result<Facts, UnitError> {
        let info = options.bdev.info();
        if !(BLOCK_BYTES_MIN..=BLOCK_BYTES_MAX).contains(&info.block_size) {
            return Err(UnitError::BlockSize(info.block_size));
        }
        if info.buf_align > BUFFER_ALIGN {
            return Err(UnitError::BufferAlign(info.buf_align));
        }
        let is_cd = options.device_type == DeviceType::CdRom;
        if is_cd && info.block_size != cd::BLOCK_BYTES {
            return Err(UnitError::CdBlockSize(info.block_size));
        }
        if options.transfer_bytes_max < TRANSFER_BYTES_MIN {
            return Err(UnitError::TransferBytes(options.transfer_bytes_max));
        }
        let (way, most) = match (&info.passthrough, info.metadata) {
            (Some(_), _) => (Way::Through, u32::MAX),
            (None, None) => (Way::Plain, u32::MAX),
            (None, Some(metadata)) => {
                let blocks = PROTECTION_BYTES_MAX as u32 / metadata.bytes;
                (Way::Protected, blocks * info.data_block_size())
            }
        };
        Ok(Facts {
            way,
            block_size: info.data_block_size(),
            stored_block_size: info.block_size,
            physical_exponent: physical_exponent(info.block_size, info.physical_block_size),
            write_cache: info.write_cache && !is_cd,
            read_only: options.read_only || is_cd,
            unmap: info.unmap && !is_cd,
            unmap_zeroes: info.unmap && info.unmap_zeroes && !is_cd,
            lba_status: info.lba_status,
            rotational: info.rotational,
            removable: info.removable || is_cd,
            optimal_blocks: info.optimal_blocks,
            atomic_blocks: info.atomic_blocks,
            threshold_percent: info.thin_threshold_percent,
            transfer_bytes_max: options.transfer_bytes_max.min(most) / BUFFER_ALIGN as u32 * BUFFER_ALIGN as u32,
        })
    }

    /// Most blocks of one READ, WRITE or compared VERIFY.
    #[inline]
    pub(crate) fn transfer_blocks_max(&self) -> u32 {
        self.transfer_bytes_max / self.block_size
    }

    /// Most blocks of one WRITE ATOMIC, whose length has 16 bits.
    pub(crate) fn atomic_blocks_max(&self) -> u32 {
        self.atomic_blocks.min(self.transfer_blocks_max()).min(u32::from(u16::MAX))
    }

    /// Most blocks of one WRITE SAME.
    pub(crate) fn write_same_blocks_max(&self) -> u64 {
        WRITE_SAME_BYTES_MAX / u64::from(self.block_size)
    }

    /// Most blocks of one UNMAP.
    pub(crate) fn unmap_blocks_max(&self) -> u32 {
        u32::try_from(UNMAP_BYTES_MAX / u64::from(self.block_size)).unwrap_or(u32::MAX)
    }

    /// Logical blocks per physical block.
    pub(crate) fn physical_blocks(&self) -> u32 {
        1 << self.physical_exponent
    }
}

/// The exponent of the ratio, 0 where the physical size is unknown or no power-of-two multiple; four bits on the wire.
fn physical_exponent(block_size: u32, physical_block_size: u32) -> u8 {
    let ratio = physical_block_size / block_size;
    match ratio.is_power_of_two() && ratio * block_size == physical_block_size {
        true => ratio.trailing_zeros().min(15) as u8,
        false => 0,
    }
}

impl Identity {
    fn new(options: &UnitOptions) -> Result<Identity, UnitError> {
        let uuid = device_uuid(&options.bdev);
        let serial = options.serial.clone().unwrap_or_else(|| uuid.simple().to_string());
        let naa = options.naa.unwrap_or_else(|| locally_assigned_naa(&uuid));
        if !matches!(naa >> 60, 2 | 3 | 5) {
            return Err(UnitError::Naa(naa));
        }
        Ok(Identity {
            name: text("product", &options.name, NAME_CHARACTERS_MAX)?,
            vendor: text("vendor", &options.vendor, VENDOR_CHARACTERS_MAX)?,
            revision: text("revision", &options.revision, REVISION_CHARACTERS_MAX)?,
            serial: text("serial", &serial, SERIAL_BYTES_MAX)?,
            naa,
            eui64: options.eui64,
            management_url: options.management_url.as_deref().map(url).transpose()?,
        })
    }
}

/// A string that goes into INQUIRY data (SPC-4: graphic codes, left-aligned, so no space at either end).
fn text(field: &'static str, value: &str, most: usize) -> Result<String, UnitError> {
    let printable = value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if value.is_empty() || value.len() > most || !printable || value.trim() != value {
        return Err(UnitError::Text { field, value: value.to_owned(), most });
    }
    Ok(value.to_owned())
}

fn url(value: &str) -> Result<String, UnitError> {
    match (1..=URL_CHARACTERS_MAX).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(value.to_owned()),
        false => Err(UnitError::Url(value.to_owned())),
    }
}

/// What the derived identifiers hang on: the device's UUID, or, where it has none, version 5 of its name.
fn device_uuid(bdev: &Bdev) -> Uuid {
    let info = bdev.info();
    match info.uuid.is_nil() {
        true => Uuid::new_v5(&Uuid::NAMESPACE_OID, info.name.as_bytes()),
        false => info.uuid,
    }
}

/// NAA 3h, locally assigned (SPC-4): it needs no company identifier, and 60 bits are ours to choose.
fn locally_assigned_naa(uuid: &Uuid) -> u64 {
    const LOCALLY_ASSIGNED: u64 = 3 << 60;
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let hash = uuid.as_bytes().iter().fold(OFFSET_BASIS, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    LOCALLY_ASSIGNED | hash & !(0xf << 60)
}

#[cfg(test)]
#[path = "unit_tests.rs"]
mod tests;

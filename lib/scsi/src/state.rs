//! What a unit remembers besides its blocks: flags that commands look at, counters of what failed, and what only the control plane touches.
//!
//! Lost when the unit goes, but for what [`crate::Saved`] has.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bdev::{IoError, IoStatSnapshot};

use crate::execute::PortIds;
use crate::mode::{Exceptions, ModeParameters};
use crate::reservations::NexusId;
use crate::saved::{ApplicationLog, Identifying};
use crate::wire::sense::Sense;

/// Self-test results that the log page has room for (SPC-4).
pub(crate) const SELF_TESTS_MAX: usize = 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct State {
    flags: AtomicU8,
    /// There is somewhere to save things.
    can_save: AtomicBool,
    failures: [AtomicU64; Failed::COUNT],
    /// How often it was started after it had been stopped.
    starts: AtomicU32,
    made: Instant,
    /// Locked by commands about the unit itself, never by reads and writes.
    kept: Mutex<Kept>,
}

/// WCE is clear although there is a cache.
const WRITE_THROUGH: u8 = 0x01;
/// The medium is out (START STOP UNIT with LOEJ).
const EJECTED: u8 = 0x02;
const DEXCPT: u8 = 0x04;
const TEST: u8 = 0x08;
const MRIE_OFF: u8 = 0x10;
/// One of these for each power condition but active.
const STOPPED: u8 = 0x20;
const IDLE: u8 = 0x40;
const STANDBY: u8 = 0x80;
const POWER: u8 = STOPPED | IDLE | STANDBY;

/// A power condition (SBC-3), as START STOP UNIT sets it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Power {
    Active,
    /// idle_a: whatever needs the medium makes it active again.
    Idle,
    /// standby_z: likewise.
    Standby,
    /// Whatever needs the medium is refused until it is started.
    Stopped,
}

/// What an operation that failed was for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Failed {
    Read,
    Write,
    Verify,
    /// Not the medium's fault (SPC-4: non-medium error).
    Other,
}

impl Failed {
    pub(crate) const COUNT: usize = 4;
}

/// What only commands about the unit itself look at.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Values that MODE SELECT saved.
    pub(crate) mode: ModeParameters,
    pub(crate) identifying: Identifying,
    pub(crate) application: ApplicationLog,
    /// What SET TIMESTAMP set, and when; `None`: it is the host's time.
    pub(crate) timestamp: Option<(Duration, Instant)>,
    /// Nexuses that prevent the removal of the medium.
    pub(crate) preventing: BTreeSet<NexusId>,
    pub(crate) buffers: BTreeMap<NexusId, Buffers>,
    /// The latest first.
    pub(crate) self_tests: VecDeque<SelfTestResult>,
    /// Where the counters of a log page stood when LOG SELECT reset it.
    pub(crate) baselines: BTreeMap<u8, Counts>,
}

/// What WRITE BUFFER brought, for the nexus that it came from.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// Mode 02h; empty as long as nothing was written.
    pub(crate) data: Vec<u8>,
    /// Mode 0Ah.
    pub(crate) echo: Option<Vec<u8>>,
}

/// One short or extended self-test (SPC-4, self-test results log page).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SelfTestResult {
    /// SELF-TEST CODE.
    pub(crate) code: u8,
    pub(crate) hours: u16,
    pub(crate) failure: Option<SelfTestFailure>,
}

/// What a self-test failed of: sense key, additional sense code and qualifier, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SelfTestFailure {
    pub(crate) lba: u64,
    pub(crate) sense: [u8; 3],
}

/// All counters of a unit at one time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    /// What its device did.
    pub(crate) io: IoStatSnapshot,
    pub(crate) failures: [u64; Failed::COUNT],
    /// When.
    pub(crate) at: Duration,
}

impl State {
    pub(crate) fn new() -> State {
        State {
            flags: AtomicU8::new(0),
            can_save: AtomicBool::new(false),
            failures: Default::default(),
            starts: AtomicU32::new(0),
            made: Instant::now(),
            kept: Mutex::default(),
        }
    }

    pub(crate) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    pub(crate) fn is_write_through(&self) -> bool {
        self.has(WRITE_THROUGH)
    }

    pub(crate) fn set_write_through(&self, on: bool) {
        self.set(WRITE_THROUGH, on);
    }

    /// Whether nothing of it concerns a READ or WRITE.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & (WRITE_THROUGH | EJECTED | POWER) == 0
    }

    /// Whether the medium is there and the unit started, for what needs the medium.
    #[inline]
    pub(crate) fn check_medium(&self) -> Result<(), Sense> {
        match self.flags.load(Ordering::Relaxed) & (EJECTED | STOPPED) {
            0 => Ok(()),
            STOPPED => Err(Sense::INITIALIZING_COMMAND_REQUIRED),
            _ => Err(Sense::MEDIUM_NOT_PRESENT),
        }
    }

    pub(crate) fn is_ejected(&self) -> bool {
        self.has(EJECTED)
    }

    pub(crate) fn set_ejected(&self, on: bool) {
        self.set(EJECTED, on);
    }

    pub(crate) fn power(&self) -> Power {
        match self.flags.load(Ordering::Relaxed) & POWER {
            0 => Power::Active,
            IDLE => Power::Idle,
            STANDBY => Power::Standby,
            _ => Power::Stopped,
        }
    }

    pub(crate) fn set_power(&self, power: Power) {
        let bit = match power {
            Power::Active => 0,
            Power::Idle => IDLE,
            Power::Standby => STANDBY,
            Power::Stopped => STOPPED,
        };
        let put = |flags: u8| Some(flags & !POWER | bit);
        let before = self.flags.fetch_update(Ordering::Relaxed, Ordering::Relaxed, put).unwrap_or_default();
        if before & STOPPED != 0 && power != Power::Stopped {
            self.starts.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Something needs the medium: a unit at rest becomes active.
    #[inline]
    pub(crate) fn wake(&self) {
        if self.has(IDLE | STANDBY) {
            self.flags.fetch_and(!(IDLE | STANDBY), Ordering::Relaxed);
        }
    }

    pub(crate) fn starts(&self) -> u32 {
        self.starts.load(Ordering::Relaxed)
    }

    pub(crate) fn exceptions(&self) -> Exceptions {
        Exceptions { disabled: self.has(DEXCPT), test: self.has(TEST), on_request: !self.has(MRIE_OFF) }
    }

    pub(crate) fn set_exceptions(&self, exceptions: Exceptions) {
        self.set(DEXCPT, exceptions.disabled);
        self.set(TEST, exceptions.test);
        self.set(MRIE_OFF, !exceptions.on_request);
    }

    pub(crate) fn can_save(&self) -> bool {
        self.can_save.load(Ordering::Relaxed)
    }

    pub(crate) fn set_can_save(&self) {
        self.can_save.store(true, Ordering::Relaxed);
    }

    /// Counts an operation that failed; what is refused for want of space or by write protection is no error of the device.
    pub(crate) fn count(&self, error: IoError, was_for: Failed) {
        let failed = match error {
            IoError::Medium => was_for,
            IoError::Gone | IoError::Failed => Failed::Other,
            IoError::OutOfRange | IoError::WriteProtected | IoError::NoSpace | IoError::Unsupported => return,
        };
        self.failures[failed as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failures(&self) -> [u64; Failed::COUNT] {
        std::array::from_fn(|index| self.failures[index].load(Ordering::Relaxed))
    }

    /// How long the unit has been there: its power-on time.
    pub(crate) fn age(&self) -> Duration {
        self.made.elapsed()
    }

    /// A nexus is gone (SAM-5: I_T nexus loss).
    pub(crate) fn forget(&self, ports: &PortIds) {
        let (mut kept, nexus) = (self.kept(), NexusId::from(ports));
        kept.preventing.remove(&nexus);
        kept.buffers.remove(&nexus);
    }

    /// Some nexus prevents the removal of the medium.
    pub(crate) fn is_removal_prevented(&self) -> bool {
        !self.kept().preventing.is_empty()
    }

    /// What a logical unit reset takes back besides the mode parameters.
    pub(crate) fn reset(&self) {
        self.set_power(Power::Active);
        let mut kept = self.kept();
        kept.preventing.clear();
        kept.buffers.clear();
    }

    fn has(&self, flag: u8) -> bool {
        self.flags.load(Ordering::Relaxed) & flag != 0
    }

    fn set(&self, flag: u8, on: bool) {
        match on {
            true => self.flags.fetch_or(flag, Ordering::Relaxed),
            false => self.flags.fetch_and(!flag, Ordering::Relaxed),
        };
    }
}

impl Kept {
    /// Milliseconds since 1970, and whether SET TIMESTAMP said so.
    pub(crate) fn timestamp(&self) -> (Duration, bool) {
        match self.timestamp {
            Some((value, since)) => (value + since.elapsed(), true),
            None => (SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), false),
        }
    }
}

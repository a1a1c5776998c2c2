//! What initiators set of a unit: its mode parameters, what is saved of them, and what a reset brings back.

use std::sync::atomic::Ordering;

use bdev::Op;

use super::LogicalUnit;
use crate::execute::PortIds;
use crate::mode::ModeParameters;
use crate::saved::Saved;

const D_SENSE: u8 = 0x01;
const SWP: u8 = 0x02;
pub(super) const TAS: u8 = 0x04;

impl LogicalUnit {
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

    /// An initiator prevents the removal of the medium (SPC-4: PREVENT ALLOW MEDIUM REMOVAL).
    pub fn is_removal_prevented(&self) -> bool {
        self.state.is_removal_prevented()
    }

    /// Somebody put a medium in: it is not ejected any more.
    pub fn load_medium(&self) {
        self.state.set_ejected(false);
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

    /// The operation as it goes to the device now, after it waited: a write leaves nothing in a volatile cache that is off (SBC-3, WCE).
    #[inline]
    pub fn heeding_cache(&self, mut op: Op) -> Op {
        if let Op::Write { fua } | Op::WriteZeroes { fua, .. } = &mut op {
            *fua |= self.is_write_through();
        }
        op
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

//! What administrators do to CD drives: take the disc out, put one in. Control plane.

use std::sync::Arc;

use scsi::{LogicalUnit, UnitAttention};

use crate::administration::AdminError;
use crate::controller::Controller;
use crate::session::UnitId;

impl Controller {
    /// Opens the tray of the CD drive on a bdev and takes the disc out; commands under way on it end as they would have. Initiators see
    /// that there is no medium. One that prevents it is asked to give the disc free. `force`: although one of them prevents it (SPC-4: PREVENT ALLOW MEDIUM REMOVAL).
    ///
    /// # Errors
    /// There is no such drive, or removal is prevented.
    pub fn eject_disc(&mut self, bdev: &str, force: bool) -> Result<(), AdminError> {
        let (id, unit) = self.cd_drive(bdev)?;
        let Some(drive) = unit.drive() else { return Ok(()) };
        if unit.is_removal_prevented() && !force && !drive.is_disc_out() {
            self.sessions.values().for_each(|session| session.request_eject(id));
            let text = format!(
                "bdev_name: an initiator uses the disc of {bdev} and prevents its removal: initiators are asked to give it free, \
                 try again later, or give \"force\": true"
            );
            return Err(AdminError::Busy(text));
        }
        drive.eject();
        Ok(())
    }

    /// Whether a disc can be put into the CD drive on a bdev.
    ///
    /// # Errors
    /// There is no such drive, or there is a disc in it.
    pub fn check_disc_is_out(&self, bdev: &str) -> Result<(), AdminError> {
        let (_, unit) = self.cd_drive(bdev)?;
        // A drive that was made before its image was there is as empty as one whose disc was taken out.
        match unit.drive().is_some_and(|drive| drive.is_disc_out()) || !unit.bdev().is_ready() {
            true => Ok(()),
            false => {
                let text = format!("bdev_name: there is a disc in {bdev}: take it out first (srp_cdrom_eject)");
                Err(AdminError::Busy(text))
            }
        }
    }

    /// Closes the tray with a disc in it, and tells every initiator. The bdev has its image.
    pub fn insert_disc(&mut self, bdev: &str) {
        if let Ok((_, unit)) = self.cd_drive(bdev) {
            unit.drive().iter().for_each(|drive| drive.insert());
            self.bdev_changed(bdev, UnitAttention::NotReadyToReady);
        }
    }

    fn cd_drive(&self, bdev: &str) -> Result<(UnitId, Arc<LogicalUnit>), AdminError> {
        let found = self.units.find(bdev).and_then(|id| Some((id, Arc::clone(&self.units.get(id)?.logical_unit))));
        found.filter(|(_, unit)| unit.drive().is_some()).ok_or_else(|| {
            let text = format!(
                "bdev_name: no LUN shows a bdev {bdev} as a CD drive: add one with \"device_type\": \"cdrom\" (srp_target_add_lun)"
            );
            AdminError::NotFound(text)
        })
    }
}

//! What the methods that make a LUN take, in a target and in the map of an initiator group.

use std::borrow::Cow;
use std::sync::Arc;

use bdev::Bdev;
use rpc::{Errno, RpcError};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use scsi::{DeviceType, Eui64, Eui64Error};
use serde::Deserialize;
use transport_srp::{LunOptions, LunSource};

use super::Hex64;
use crate::appliance::Appliance;

/// Of the methods that are about a target.
#[derive(Deserialize)]
#[serde(try_from = "LunParams")]
pub(super) struct TargetLun {
    pub(super) target: String,
    pub(super) bdev_name: String,
    pub(super) params: LunParams,
}

impl TryFrom<LunParams> for TargetLun {
    type Error = &'static str;

    fn try_from(mut params: LunParams) -> Result<TargetLun, &'static str> {
        match (params.target.take(), params.bdev_name.clone()) {
            _ if params.group.is_some() => Err("group: not supported, leave it out"),
            _ if params.target_lun.is_some() => Err("target_lun: not supported, leave it out"),
            (None, _) => Err("target: which one is it for?"),
            (_, None) => Err("bdev_name: which one is to be exported?"),
            (Some(target), Some(bdev_name)) => Ok(TargetLun { target, bdev_name, params }),
        }
    }
}

/// Of those that are about a group.
#[derive(Deserialize)]
#[serde(try_from = "LunParams")]
pub(super) struct GroupLun {
    pub(super) group: String,
    pub(super) params: LunParams,
}

impl TryFrom<LunParams> for GroupLun {
    type Error = &'static str;

    fn try_from(mut params: LunParams) -> Result<GroupLun, &'static str> {
        match params.group.take() {
            _ if params.target.is_some() => Err("target: not supported, leave it out"),
            None => Err("group: which one is it for?"),
            Some(group) => Ok(GroupLun { group, params }),
        }
    }
}

impl JsonSchema for TargetLun {
    fn schema_name() -> Cow<'static, str> {
        "TargetLun".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        without(generator, &["group", "target_lun"], &["target", "bdev_name"])
    }
}

impl JsonSchema for GroupLun {
    fn schema_name() -> Cow<'static, str> {
        "GroupLun".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        without(generator, &["target"], &["group"])
    }
}

fn without(generator: &mut SchemaGenerator, refused: &[&str], required: &[&str]) -> Schema {
    let mut schema = LunParams::json_schema(generator);
    if let Some(properties) = schema.get_mut("properties").and_then(|properties| properties.as_object_mut()) {
        for name in refused {
            properties.remove(*name);
        }
        for name in required {
            properties[*name]["type"] = "string".into();
        }
    }
    schema.insert("required".into(), required.into());
    schema
}

/// All of it; each method has an owner of its own, and target_lun is for groups alone. Serde cannot put structs together that refuse
/// unknown fields.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LunParams {
    /// Name of the target.
    target: Option<String>,
    /// Name of the group.
    group: Option<String>,
    /// What is exported.
    bdev_name: Option<String>,
    /// A LUN of the target that is shown under another number.
    target_lun: Option<u16>,
    /// The LUN, 0 to 16383; left out: the lowest free one. One that is replaced has to be named.
    lun: Option<u16>,
    /// Whether initiators can only read.
    #[serde(default)]
    read_only: bool,
    /// disk, or cdrom for an image as a CD drive.
    device_type: Option<Kind>,
    /// PRODUCT IDENTIFICATION of INQUIRY, up to 16 characters; left out: the bdev's name.
    product: Option<String>,
    /// T10 VENDOR IDENTIFICATION of INQUIRY, up to 8 characters.
    vendor: Option<String>,
    /// PRODUCT REVISION LEVEL of INQUIRY, up to 4 characters.
    revision: Option<String>,
    /// UNIT SERIAL NUMBER (VPD 80h); left out: one that follows from the bdev's UUID.
    serial: Option<String>,
    /// NAA designator (VPD 83h), which is the unit's WWID; left out: one that follows from the bdev's UUID.
    naa: Option<Hex64>,
    /// EUI-64 designator (VPD 83h): 16, 24 or 32 hex digits.
    eui64: Option<String>,
    /// Commands that the unit takes at once, before it answers TASK SET FULL; left out: no limit.
    queue_depth: Option<u32>,
    /// Where the unit is administered (VPD 85h).
    management_url: Option<String>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Disk,
    CdRom,
}

/// A bdev that nothing stands on.
pub(super) fn exported_bdev(appliance: &Appliance, name: &str) -> Result<Arc<Bdev>, RpcError> {
    let missing = || RpcError::errno(Errno::NODEV, format!("bdev_name: there is no bdev {name}"));
    let bdev = Arc::clone(appliance.bdevs.get(name).ok_or_else(missing)?);
    if let Some(user) = appliance.bdev_above(name) {
        let text = format!("bdev_name: bdev {name} is in use by {user}: export that one");
        return Err(RpcError::errno(Errno::BUSY, text));
    }
    Ok(bdev)
}

impl LunParams {
    /// The LUN that is to be replaced.
    pub(super) fn replaced(&self) -> Result<u16, RpcError> {
        self.lun.ok_or_else(|| RpcError::invalid_params("lun: which one is to be replaced?"))
    }

    /// The bdev, if one is named.
    pub(super) fn bdev(&self, appliance: &Appliance) -> Result<Option<Arc<Bdev>>, RpcError> {
        self.bdev_name.as_deref().map(|name| exported_bdev(appliance, name)).transpose()
    }

    /// What a LUN of a group shows: a bdev, or a LUN of the target, which has its own identity.
    pub(super) fn source<'a>(&self, bdev: Option<&'a Arc<Bdev>>) -> Result<LunSource<'a>, RpcError> {
        match (bdev, self.target_lun) {
            (Some(bdev), None) => Ok(LunSource::Bdev(bdev)),
            (None, Some(_)) if self.has_identity() => {
                let text = "device_type, product, vendor, revision, serial, naa, eui64, queue_depth, management_url: a LUN of the target has its own; leave them out";
                Err(RpcError::invalid_params(text))
            }
            (None, Some(lun)) => Ok(LunSource::TargetLun(lun)),
            _ => Err(RpcError::invalid_params("bdev_name, target_lun: one of the two is needed")),
        }
    }

    fn has_identity(&self) -> bool {
        let strings = [&self.product, &self.vendor, &self.revision, &self.serial, &self.eui64, &self.management_url];
        let numbers = self.naa.is_some() || self.queue_depth.is_some() || self.device_type.is_some();
        numbers || strings.iter().any(|given| given.is_some())
    }

    /// Everything else.
    pub(super) fn options(self) -> Result<LunOptions, RpcError> {
        let eui64: Result<Option<Eui64>, Eui64Error> = self.eui64.map(|text| text.parse()).transpose();
        Ok(LunOptions {
            lun: self.lun,
            read_only: self.read_only,
            device_type: self.device_type.map(|kind| match kind {
                Kind::Disk => DeviceType::Disk,
                Kind::CdRom => DeviceType::CdRom,
            }),
            product: self.product,
            vendor: self.vendor,
            revision: self.revision,
            serial: self.serial,
            naa: self.naa.map(|naa| naa.0),
            eui64: eui64.map_err(|error| RpcError::invalid_params(format!("eui64: {error}")))?,
            queue_depth: self.queue_depth,
            management_url: self.management_url,
        })
    }
}

//! The two units of a segment: how they are found, and what keeps the copy manager from using them.

use super::list::{BLOCK_LENGTH_AT, Cscd, CscdId, DESTINATION_AT, List, SOURCE_AT, Segment};
use super::plan::Side;
use crate::access;
use crate::execute::{Context, Ending, Peer};
use crate::nexus::UnitNexus;
use crate::unit::LogicalUnit;
use crate::wire::cdb::opcode;
use crate::wire::sense::{Forwarded, Sense};

/// A unit that data comes from, or goes to.
#[derive(Clone, Copy)]
pub(super) struct End<'a> {
    /// `None`: the unit that the command is addressed to.
    pub(super) peer: Option<Peer>,
    pub(super) unit: &'a LogicalUnit,
    nexus: Option<&'a UnitNexus>,
    read_only: bool,
    pad: bool,
    /// Its CSCD descriptor's place in the list.
    at: Option<u16>,
}

/// What a unit is wanted for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    Read,
    Write,
}

/// Why a segment cannot be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Failure {
    /// Additional sense code and qualifier.
    pub(super) code: (u8, u8),
    /// The field at fault.
    pub(super) at: Option<u16>,
    /// That counts from the segment descriptor's start.
    pub(super) in_segment: bool,
    pub(super) forwarded: Option<Forwarded>,
}

impl Failure {
    /// 0Dh/02h COPY TARGET DEVICE NOT REACHABLE.
    pub(super) const NOT_REACHABLE: Failure = Failure::new(0x0d, 0x02);
    /// 26h/0Ah UNEXPECTED INEXACT SEGMENT.
    pub(super) const INEXACT_SEGMENT: Failure = Failure::new(0x26, 0x0a);
    /// 0Dh/01h THIRD PARTY DEVICE FAILURE.
    const DEVICE_FAILURE: Failure = Failure::new(0x0d, 0x01);
    /// 0Dh/03h INCORRECT COPY TARGET DEVICE TYPE.
    const INCORRECT_TYPE: Failure = Failure::new(0x0d, 0x03);
    /// 26h/00h INVALID FIELD IN PARAMETER LIST.
    const INVALID_FIELD: Failure = Failure::new(0x26, 0x00);

    const fn new(asc: u8, ascq: u8) -> Failure {
        Failure { code: (asc, ascq), at: None, in_segment: false, forwarded: None }
    }

    /// INVALID FIELD IN PARAMETER LIST, with the field's place in the segment descriptor.
    pub(super) fn in_segment(at: usize) -> Failure {
        Failure { at: Some(at as u16), in_segment: true, ..Failure::INVALID_FIELD }
    }
}

/// Finds source and destination of a segment.
pub(super) fn find<'a>(
    segment: &Segment,
    list: &List<'_>,
    context: &Context<'a>,
) -> Result<(End<'a>, End<'a>), Failure> {
    let source = find_one(segment.source, SOURCE_AT, list, context)?;
    Ok((source, find_one(segment.destination, DESTINATION_AT, list, context)?))
}

fn find_one<'a>(id: CscdId, field: usize, list: &List<'_>, context: &Context<'a>) -> Result<End<'a>, Failure> {
    let unreachable = Failure { at: Some(field as u16), in_segment: true, ..Failure::NOT_REACHABLE };
    let CscdId::Descriptor(index) = id else {
        return again(id, None, list, context).ok_or(unreachable);
    };
    let cscd = list.cscd(index).ok_or(unreachable)?;
    let at = Some(cscd.at as u16);
    let end = peer(&cscd, context).and_then(|peer| again(id, Some(peer), list, context));
    let end = end.ok_or(Failure { at, ..Failure::NOT_REACHABLE })?;
    if cscd.device_type != end.unit.device_type() {
        return Err(Failure { at, ..Failure::INCORRECT_TYPE });
    }
    match cscd.block_length == 0 || cscd.block_length == end.unit.block_size() {
        true => Ok(end),
        false => Err(Failure { at: Some((cscd.at + BLOCK_LENGTH_AT) as u16), ..Failure::INVALID_FIELD }),
    }
}

/// One that was found before.
pub(super) fn again<'a>(id: CscdId, peer: Option<Peer>, list: &List<'_>, context: &Context<'a>) -> Option<End<'a>> {
    match (id, peer) {
        (CscdId::Descriptor(index), Some(number)) => {
            let (cscd, found) = (list.cscd(index)?, context.peers.unit(number)?);
            let (pad, at) = (cscd.pad, Some(cscd.at as u16));
            Some(End { peer, unit: found.unit, nexus: Some(found.nexus), read_only: found.read_only, pad, at })
        }
        (CscdId::Own, None) => {
            let (nexus, read_only) = (context.nexus, context.read_only);
            Some(End { peer, unit: context.unit?, nexus, read_only, pad: false, at: None })
        }
        _ => None,
    }
}

/// Only designators of the unit itself name it, each in the code set that VPD page 83h shows it in.
fn peer(cscd: &Cscd<'_>, context: &Context<'_>) -> Option<Peer> {
    const BINARY: u8 = 1;
    const ASCII: u8 = 2;
    const T10_VENDOR: u8 = 1;
    const OF_UNIT: u8 = 0;
    let code_set = if cscd.designation.kind == T10_VENDOR { ASCII } else { BINARY };
    match cscd.null || cscd.association != OF_UNIT || cscd.code_set != code_set {
        true => None,
        false => context.peers.find(&cscd.designation),
    }
}

impl End<'_> {
    pub(super) fn side(&self) -> Side {
        Side { block_size: self.unit.block_size(), pad: self.pad }
    }

    /// How the unit would end a READ or WRITE of this initiator. What it has to be told (unit attentions) waits for its own commands.
    pub(super) fn obstacle(&self, access: Access) -> Option<Forwarded> {
        let by_destination = access == Access::Write;
        let sense = |sense: Sense| Some(Forwarded::check_condition(by_destination, &sense));
        let operation = if by_destination { opcode::WRITE_10 } else { opcode::READ_10 };
        let blocked = self.nexus.filter(|nexus| !nexus.is_clear());
        match blocked.and_then(|nexus| access::obstacle(&[operation, 0], nexus)) {
            Some(Ending::Status(status)) => {
                return Some(Forwarded { by_destination, status, sense: None, information: None });
            }
            Some(Ending::CheckCondition(found)) => return sense(found),
            Some(Ending::Good { .. } | Ending::Device { .. }) | None => {}
        }
        match (self.unit.check_ready().and_then(|()| self.unit.check_medium()), access) {
            (Err(found), _) => sense(found),
            (Ok(()), Access::Write) => self.unit.check_writable(self.read_only).err().and_then(sense),
            (Ok(()), Access::Read) => None,
        }
    }

    /// The segment ends with what this unit answered.
    pub(super) fn failed(&self, forwarded: Forwarded) -> Failure {
        Failure { at: self.at, forwarded: Some(forwarded), ..Failure::DEVICE_FAILURE }
    }
}

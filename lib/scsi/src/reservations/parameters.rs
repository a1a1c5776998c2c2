//! The parameter list of PERSISTENT RESERVE OUT (SPC-4). Hostile until parsed.

use super::{TRANSPORT_ID_BYTES, TRANSPORT_ID_SRP};
use crate::limits::REGISTRATIONS_MAX;
use crate::wire::cdb::{be16, be32, be64};
use crate::wire::sense::{FieldPointer, Sense};

/// Bytes of the list without TransportIDs, in both its forms.
pub(crate) const LIST_BYTES: u32 = 24;
/// Most bytes of a list: with SPEC_I_PT, a TransportID for every registration that there can be.
pub(crate) const LIST_BYTES_MAX: u32 = LIST_BYTES + 4 + (TRANSPORT_ID_BYTES * REGISTRATIONS_MAX) as u32;

/// A basic list, or that of REGISTER AND MOVE.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Parameters {
    /// RESERVATION KEY.
    pub(crate) key: u64,
    /// SERVICE ACTION RESERVATION KEY.
    pub(crate) action_key: u64,
    /// APTPL.
    pub(crate) persist: bool,
    pub(crate) rest: Rest,
}

/// What only one of the two forms has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Rest {
    Basic {
        /// ALL_TG_PT.
        all_ports: bool,
        /// The initiator ports named with SPEC_I_PT.
        initiators: Option<Vec<[u8; 16]>>,
    },
    Move {
        /// UNREG.
        unregister: bool,
        /// RELATIVE TARGET PORT IDENTIFIER.
        relative_port: u16,
        initiator: [u8; 16],
    },
}

impl Parameters {
    /// The list of every service action but REGISTER AND MOVE. ALL_TG_PT and APTPL mean something in registrations only, and are ignored
    /// elsewhere; SPEC_I_PT is refused elsewhere, by who carries the service action out.
    pub(crate) fn basic(list: &[u8]) -> Result<Parameters, Sense> {
        const APTPL: u8 = 0x01;
        const ALL_TG_PT: u8 = 0x04;
        const SPEC_I_PT: u8 = 0x08;
        let flags = checked(list)?[20];
        let initiators = match flags & SPEC_I_PT {
            0 if list.len() != LIST_BYTES as usize => return Err(Sense::PARAMETER_LIST_LENGTH_ERROR),
            0 => None,
            _ => Some(initiators(list)?),
        };
        let rest = Rest::Basic { all_ports: flags & ALL_TG_PT != 0, initiators };
        Ok(Parameters { key: be64(list, 0), action_key: be64(list, 8), persist: flags & APTPL != 0, rest })
    }

    /// The list of REGISTER AND MOVE.
    pub(crate) fn of_move(list: &[u8]) -> Result<Parameters, Sense> {
        const APTPL: u8 = 0x01;
        const UNREG: u8 = 0x02;
        let flags = checked(list)?[17];
        let id_bytes = be32(list, 20) as usize;
        if list.len() - LIST_BYTES as usize != id_bytes {
            return Err(Sense::PARAMETER_LIST_LENGTH_ERROR);
        }
        if id_bytes != TRANSPORT_ID_BYTES {
            return Err(Sense::invalid_field_in_parameter_list(20));
        }
        let rest = Rest::Move {
            unregister: flags & UNREG != 0,
            relative_port: be16(list, 18),
            initiator: transport_id(list, LIST_BYTES as usize)?,
        };
        Ok(Parameters { key: be64(list, 0), action_key: be64(list, 8), persist: flags & APTPL != 0, rest })
    }
}

/// INVALID FIELD IN PARAMETER LIST at one of the bits of byte 20 of a basic list.
pub(crate) fn invalid_flag(bit: u8) -> Sense {
    let field = FieldPointer { in_cdb: false, byte: 20, bit: Some(bit) };
    Sense { field: Some(field), ..Sense::INVALID_FIELD_IN_PARAMETER_LIST }
}

fn checked(list: &[u8]) -> Result<&[u8], Sense> {
    match list.len() >= LIST_BYTES as usize {
        true => Ok(list),
        false => Err(Sense::PARAMETER_LIST_LENGTH_ERROR),
    }
}

/// The additional parameter data: TRANSPORTID PARAMETER DATA LENGTH, then TransportIDs.
fn initiators(list: &[u8]) -> Result<Vec<[u8; 16]>, Sense> {
    const LENGTH_AT: usize = LIST_BYTES as usize;
    const IDS_AT: usize = LENGTH_AT + 4;
    if list.len() < IDS_AT || list.len() - IDS_AT != be32(list, LENGTH_AT) as usize {
        return Err(Sense::PARAMETER_LIST_LENGTH_ERROR);
    }
    // A TransportID that is cut short; all of SRP have the same length.
    if !(list.len() - IDS_AT).is_multiple_of(TRANSPORT_ID_BYTES) {
        return Err(Sense::invalid_field_in_parameter_list(LENGTH_AT as u16));
    }
    (IDS_AT..list.len()).step_by(TRANSPORT_ID_BYTES).map(|at| transport_id(list, at)).collect()
}

/// An SRP TransportID (SPC-4): those of other protocols can name nobody here.
fn transport_id(list: &[u8], at: usize) -> Result<[u8; 16], Sense> {
    let mut initiator = [0; 16];
    match list[at] {
        TRANSPORT_ID_SRP => initiator.copy_from_slice(&list[at + 8..at + TRANSPORT_ID_BYTES]),
        _ => return Err(Sense::invalid_field_in_parameter_list(at as u16)),
    }
    Ok(initiator)
}

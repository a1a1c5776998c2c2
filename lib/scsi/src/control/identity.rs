//! REPORT and SET IDENTIFYING INFORMATION (SPC-4): what initiators want to know a unit by, kept on disk.

use super::{Effect, Outcome};
use crate::nexus::UnitAttention;
use crate::saved::{Identifying, Keeper};
use crate::unit::LogicalUnit;
use crate::wire::sense::Sense;

/// INFORMATION TYPE (SPC-4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InformationType {
    /// 0000000b: any bytes.
    Peripheral,
    /// 0000010b: text, UTF-8 that ends with a NUL.
    Text,
    /// 1111111b: which types there are, and how long each may be.
    Supported,
}

impl InformationType {
    /// Its number.
    pub(crate) fn code(self) -> u8 {
        match self {
            InformationType::Peripheral => 0b000_0000,
            InformationType::Text => 0b000_0010,
            InformationType::Supported => 0b111_1111,
        }
    }

    pub(crate) fn bytes_max(self) -> usize {
        match self {
            InformationType::Peripheral => Identifying::PERIPHERAL_BYTES_MAX,
            InformationType::Text => Identifying::TEXT_BYTES_MAX,
            InformationType::Supported => 0,
        }
    }
}

pub(super) fn report(kind: InformationType, unit: &LogicalUnit) -> Outcome {
    let kept = unit.state().kept();
    let information = match kind {
        InformationType::Peripheral => kept.identifying.peripheral.clone(),
        InformationType::Text if kept.identifying.text.is_empty() => Vec::new(),
        InformationType::Text => [kept.identifying.text.as_bytes(), b"\0"].concat(),
        InformationType::Supported => [InformationType::Peripheral, InformationType::Text]
            .into_iter()
            .flat_map(|kind| {
                let [high, low] = (kind.bytes_max() as u16).to_be_bytes();
                [kind.code() << 1, 0, high, low]
            })
            .collect(),
    };
    let [high, low] = (information.len() as u16).to_be_bytes();
    Outcome::data([&[0, 0, high, low][..], &information].concat())
}

/// An empty list takes the information away.
pub(super) fn set(kind: InformationType, list: &[u8], unit: &LogicalUnit, keeper: &mut Keeper<'_>) -> Outcome {
    let mut identifying = unit.state().kept().identifying.clone();
    match kind {
        InformationType::Peripheral => identifying.peripheral = list.to_vec(),
        InformationType::Text => match text(list) {
            Ok(text) => identifying.text = text,
            Err(sense) => return sense.into(),
        },
        InformationType::Supported => return Sense::invalid_field_in_cdb(10, Some(7)).into(),
    }
    if let Err(sense) = keeper.save(unit, |saved| saved.identifying = identifying.clone()) {
        return sense.into();
    }
    unit.state().kept().identifying = identifying;
    Outcome { effects: vec![Effect::TellOthers(UnitAttention::DeviceIdentifierChanged)], ..Outcome::good() }
}

/// Text up to its NUL, behind which there are only further ones.
fn text(list: &[u8]) -> Result<String, Sense> {
    let wrong = |byte: usize| Sense::invalid_field_in_parameter_list(byte as u16);
    if list.is_empty() {
        return Ok(String::new());
    }
    let end = list.iter().position(|&byte| byte == 0).ok_or(wrong(list.len() - 1))?;
    if let Some(more) = list[end..].iter().position(|&byte| byte != 0) {
        return Err(wrong(end + more));
    }
    match std::str::from_utf8(&list[..end]) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(wrong(error.valid_up_to())),
    }
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;

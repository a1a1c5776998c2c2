//! WRITE BUFFER and READ BUFFER (SPC-4): a data buffer and an echo buffer for each nexus, which nothing else looks at.

use super::Outcome;
use crate::execute::PortIds;
use crate::limits::BUFFER_CAPACITY;
use crate::reservations::NexusId;
use crate::unit::LogicalUnit;
use crate::wire::sense::Sense;

/// The parser has checked that it fits.
pub(super) fn write(echo: bool, offset: u32, list: &[u8], unit: &LogicalUnit, ports: &PortIds) -> Outcome {
    let mut kept = unit.state().kept();
    let buffers = kept.buffers.entry(NexusId::from(ports)).or_default();
    if echo {
        buffers.echo = Some(list.to_vec());
        return Outcome::good();
    }
    buffers.data.resize(BUFFER_CAPACITY, 0);
    let offset = offset as usize;
    match buffers.data.get_mut(offset..offset + list.len()) {
        Some(part) => {
            part.copy_from_slice(list);
            Outcome::good()
        }
        None => Sense::invalid_field_in_cdb(3, None).into(),
    }
}

/// What this nexus wrote; of the data buffer what it never wrote is zero, of the echo buffer there must be something.
pub(super) fn read(echo: bool, offset: u32, unit: &LogicalUnit, ports: &PortIds) -> Outcome {
    let kept = unit.state().kept();
    let buffers = kept.buffers.get(&NexusId::from(ports));
    match buffers {
        Some(buffers) if echo => match &buffers.echo {
            Some(echo) => Outcome::data(echo.clone()),
            None => Sense::COMMAND_SEQUENCE_ERROR.into(),
        },
        None if echo => Sense::COMMAND_SEQUENCE_ERROR.into(),
        buffers => {
            let data = buffers.map_or(&[][..], |buffers| &buffers.data);
            let mut answer = data.get(offset as usize..).unwrap_or_default().to_vec();
            answer.resize(BUFFER_CAPACITY.saturating_sub(offset as usize), 0);
            Outcome::data(answer)
        }
    }
}

#[cfg(test)]
#[path = "buffer_tests.rs"]
mod tests;

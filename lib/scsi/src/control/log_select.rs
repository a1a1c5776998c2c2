//! LOG SELECT (SPC-4): counting anew, and what application clients note in their log page. The whole list is checked before anything is
//! changed.

use super::log::{APPLICATION_CLIENT, NON_MEDIUM_ERRORS, READ_ERRORS, STATISTICS, VERIFY_ERRORS, WRITE_ERRORS, pages};
use super::{Effect, Outcome};
use crate::nexus::UnitAttention;
use crate::saved::{ApplicationLog, Keeper};
use crate::unit::LogicalUnit;
use crate::wire::cdb::be16;
use crate::wire::sense::Sense;

/// Pages whose counters are reset.
const RESETTABLE: [u8; 5] = [WRITE_ERRORS, READ_ERRORS, VERIFY_ERRORS, NON_MEDIUM_ERRORS, STATISTICS];

/// Without a list: the counters of a page, or of all, begin again at zero, and what application clients noted is gone.
pub(super) fn reset(page: Option<u8>, save: bool, unit: &LogicalUnit, keeper: &mut Keeper<'_>) -> Outcome {
    let concerned = |known: u8| page.is_none_or(|page| page == known);
    let application = match concerned(APPLICATION_CLIENT) {
        true => ApplicationLog::default(),
        false => unit.state().kept().application.clone(),
    };
    if let Err(sense) = take_over(application, save, unit, keeper) {
        return sense.into();
    }
    let counts = unit.counts();
    let baselines = RESETTABLE.into_iter().filter(|&known| concerned(known)).map(|page| (page, counts));
    unit.state().kept().baselines.extend(baselines);
    changed()
}

/// With a list of pages, or with nothing to do but to save. Only what application clients note can be set, so other pages are taken without
/// parameters only.
pub(super) fn select(save: bool, list: &[u8], unit: &LogicalUnit, keeper: &mut Keeper<'_>) -> Outcome {
    let before = unit.state().kept().application.clone();
    let mut application = before.clone();
    let outcome = parse(list, unit, &mut application).and_then(|()| {
        let is_new = application != before;
        take_over(application, save, unit, keeper).map(|()| is_new)
    });
    match outcome {
        Ok(true) => changed(),
        Ok(false) => Outcome::good(),
        Err(sense) => sense.into(),
    }
}

fn take_over(
    application: ApplicationLog,
    save: bool,
    unit: &LogicalUnit,
    keeper: &mut Keeper<'_>,
) -> Result<(), Sense> {
    if save {
        keeper.save(unit, |saved| saved.application = application.clone())?;
    }
    unit.state().kept().application = application;
    Ok(())
}

fn changed() -> Outcome {
    Outcome { effects: vec![Effect::TellOthers(UnitAttention::LogParametersChanged)], ..Outcome::good() }
}

/// Pages and their parameters, each in ascending order (SPC-4).
fn parse(list: &[u8], unit: &LogicalUnit, application: &mut ApplicationLog) -> Result<(), Sense> {
    const PAGE_CODE: u8 = 0x3f;
    const HEADER_BYTES: usize = 4;
    let (mut at, mut last) = (0, None);
    while at < list.len() {
        let &[code, subpage, ..] = &list[at..] else { return Err(Sense::PARAMETER_LIST_LENGTH_ERROR) };
        let code = code & PAGE_CODE;
        let is_known = pages(unit).any(|known| known == code);
        if !is_known || last >= Some(code) {
            return Err(Sense::invalid_bit_in_parameter_list(at as u16, 5));
        }
        if subpage != 0 {
            return Err(Sense::invalid_field_in_parameter_list(at as u16 + 1));
        }
        if list.len() < at + HEADER_BYTES {
            return Err(Sense::PARAMETER_LIST_LENGTH_ERROR);
        }
        let start = at + HEADER_BYTES;
        let end = start + usize::from(be16(list, at + 2));
        let parameters = list.get(start..end).ok_or(Sense::PARAMETER_LIST_LENGTH_ERROR)?;
        match code {
            APPLICATION_CLIENT => parse_parameters(parameters, start, application)?,
            _ if parameters.is_empty() => (),
            _ => return Err(Sense::invalid_field_in_parameter_list(start as u16)), // PARAMETER CODE
        }
        (at, last) = (end, Some(code));
    }
    Ok(())
}

/// General usage application client parameters (SPC-4); `start` is where they stand in the list. Of the parameter control byte nothing can
/// be set.
fn parse_parameters(parameters: &[u8], start: usize, application: &mut ApplicationLog) -> Result<(), Sense> {
    const HEADER_BYTES: usize = 4;
    let mut last = None;
    for (index, parameter) in parameters.chunks(HEADER_BYTES + ApplicationLog::PARAMETER_BYTES).enumerate() {
        let at = start + index * (HEADER_BYTES + ApplicationLog::PARAMETER_BYTES);
        if parameter.len() < HEADER_BYTES {
            return Err(Sense::PARAMETER_LIST_LENGTH_ERROR);
        }
        let code = be16(parameter, 0);
        if code >= ApplicationLog::PARAMETERS || last >= Some(code) {
            return Err(Sense::invalid_field_in_parameter_list(at as u16));
        }
        if usize::from(parameter[3]) != ApplicationLog::PARAMETER_BYTES {
            return Err(Sense::invalid_field_in_parameter_list(at as u16 + 3));
        }
        if parameter.len() < HEADER_BYTES + ApplicationLog::PARAMETER_BYTES {
            return Err(Sense::PARAMETER_LIST_LENGTH_ERROR);
        }
        application.0.insert(code, parameter[HEADER_BYTES..].to_vec());
        last = Some(code);
    }
    Ok(())
}

//! What of a unit's reservations survives a restart: registrations and the persistent reservation, if the last registration set APTPL.
//! The generation does not (SPC-4), nor does the reservation of SPC-2.

use serde::{Deserialize, Serialize};

use super::{NexusId, Registration, Reservation, ReservationType, Reservations};
use crate::limits::REGISTRATIONS_MAX;

/// Reservations as they are kept.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Form")]
pub struct SavedReservations {
    registrations: Vec<Registration>,
    reservation: Option<Reservation>,
    persists: bool,
}

impl Reservations {
    /// What is to be kept; nothing unless APTPL says so.
    pub fn saved(&self) -> SavedReservations {
        match self.persists {
            true => SavedReservations {
                registrations: self.registrations.clone(),
                reservation: self.reservation,
                persists: true,
            },
            false => SavedReservations::default(),
        }
    }
}

impl From<&SavedReservations> for Reservations {
    fn from(saved: &SavedReservations) -> Reservations {
        Reservations {
            registrations: saved.registrations.clone(),
            reservation: saved.reservation,
            persists: saved.persists,
            ..Reservations::default()
        }
    }
}

/// As it stands in a file, where every number is hexadecimal text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    activated: bool,
    #[serde(default)]
    registrations: Vec<RegistrationForm>,
    #[serde(default)]
    reservation: Option<ReservationForm>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegistrationForm {
    initiator_port_id: String,
    target_port_id: String,
    key: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReservationForm {
    #[serde(rename = "type")]
    kind: String,
    /// Which of the registrations, from 0.
    holder: Option<usize>,
}

impl From<SavedReservations> for Form {
    fn from(saved: SavedReservations) -> Form {
        let port = |id: [u8; 16]| format!("{:#034x}", u128::from_be_bytes(id));
        let form = |registration: &Registration| RegistrationForm {
            initiator_port_id: port(registration.nexus.initiator_port_id),
            target_port_id: port(registration.nexus.target_port_id),
            key: format!("{:#018x}", registration.key),
        };
        let index = |holder: NexusId| saved.registrations.iter().position(|registration| registration.nexus == holder);
        Form {
            activated: saved.persists,
            registrations: saved.registrations.iter().map(form).collect(),
            reservation: saved.reservation.map(|reservation| ReservationForm {
                kind: reservation.kind.name().to_owned(),
                holder: reservation.holder.and_then(index),
            }),
        }
    }
}

impl TryFrom<Form> for SavedReservations {
    type Error = String;

    fn try_from(form: Form) -> Result<SavedReservations, String> {
        let registrations: Vec<Registration> =
            form.registrations.iter().map(RegistrationForm::parse).collect::<Result<_, String>>()?;
        let nexuses: std::collections::BTreeSet<NexusId> = registrations.iter().map(|it| it.nexus).collect();
        if nexuses.len() != registrations.len() {
            return Err("a nexus is registered twice".to_owned());
        }
        if registrations.len() > REGISTRATIONS_MAX {
            return Err(format!("there are more than {REGISTRATIONS_MAX} registrations"));
        }
        if !form.activated && !registrations.is_empty() {
            return Err("there are registrations although nothing was to be kept".to_owned());
        }
        let reservation = form.reservation.map(|reservation| reservation.parse(&registrations)).transpose()?;
        Ok(SavedReservations { registrations, reservation, persists: form.activated })
    }
}

impl RegistrationForm {
    fn parse(&self) -> Result<Registration, String> {
        let port = |text: &str| hex(text, 32).map(u128::to_be_bytes);
        let nexus =
            NexusId { initiator_port_id: port(&self.initiator_port_id)?, target_port_id: port(&self.target_port_id)? };
        match hex(&self.key, 16)? {
            0 => Err("a registration has the key 0".to_owned()),
            key => Ok(Registration { nexus, key: key as u64 }),
        }
    }
}

impl ReservationForm {
    fn parse(&self, registrations: &[Registration]) -> Result<Reservation, String> {
        let kind = ReservationType::ALL.into_iter().find(|kind| kind.name() == self.kind);
        let kind = kind.ok_or_else(|| format!("{} is no type of a reservation", self.kind))?;
        let holder = match (kind.is_all_registrants(), self.holder) {
            (true, None) if !registrations.is_empty() => None,
            (false, Some(holder)) if holder < registrations.len() => Some(registrations[holder].nexus),
            _ => return Err("the reservation has no holder that is registered".to_owned()),
        };
        Ok(Reservation { kind, holder })
    }
}

/// Exactly so many hexadecimal digits, with 0x in front.
fn hex(text: &str, digits: usize) -> Result<u128, String> {
    let number =
        text.strip_prefix("0x").filter(|rest| rest.len() == digits && rest.bytes().all(|b| b.is_ascii_hexdigit()));
    number
        .and_then(|number| u128::from_str_radix(number, 16).ok())
        .ok_or_else(|| format!("'{text}' is not 0x and {digits} hexadecimal digits"))
}

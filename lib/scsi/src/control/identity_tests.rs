use super::*;
use crate::control::testing::{GOOD, Host};
use crate::testing::unit;

fn set(host: &mut Host, kind: u8, list: &[u8]) -> Result<Vec<u8>, Sense> {
    let [high, low] = (list.len() as u16).to_be_bytes();
    host.run(&[0xa4, 0x06, 0, 0, 0, 0, 0, 0, high, low, kind << 1, 0], list)
}

fn report(host: &mut Host, kind: u8) -> Vec<u8> {
    host.run(&[0xa3, 0x05, 0, 0, 0, 0, 0, 0, 0xff, 0xff, kind << 1, 0], &[]).expect("information")
}

#[test]
fn what_is_set_is_reported_told_and_kept() {
    let mut host = Host::new(unit());
    assert_eq!((report(&mut host, 0), report(&mut host, 2)), (vec![0; 4], vec![0; 4]));
    assert_eq!(report(&mut host, 0x7f), [0, 0, 0, 8, 0, 0, 2, 0, 4, 0, 1, 0]);
    assert_eq!(set(&mut host, 0, &[1, 0, 255]), GOOD);
    assert_eq!(set(&mut host, 2, "Gestell 7 – oben\0".as_bytes()), GOOD);
    assert_eq!(host.told, [UnitAttention::DeviceIdentifierChanged; 2]);
    let mut host = host.restarted(unit());
    assert_eq!(report(&mut host, 0), [0, 0, 0, 3, 1, 0, 255]);
    assert_eq!(report(&mut host, 2)[4..], *"Gestell 7 – oben\0".as_bytes());
    assert_eq!(host.run(&[0xa3, 0x05, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0], &[]), Ok(vec![0, 0, 0, 3, 1, 0]), "cut");
    assert_eq!(set(&mut host, 0, &[]), GOOD);
    assert_eq!(set(&mut host, 2, &[]), GOOD);
    assert_eq!((report(&mut host, 0), report(&mut host, 2)), (vec![0; 4], vec![0; 4]));
}

#[test]
fn what_is_too_long_or_no_text_is_refused() {
    let mut host = Host::new(unit());
    let most = [&[b'x'; 255][..], &[0]].concat();
    assert_eq!(set(&mut host, 2, &most), GOOD);
    assert_eq!(set(&mut host, 0, &[7; 512]), GOOD);
    let too_long = |host: &mut Host, kind: u8, length: u16| {
        let [high, low] = length.to_be_bytes();
        host.run(&[0xa4, 0x06, 0, 0, 0, 0, 0, 0, high, low, kind << 1, 0], &[])
    };
    assert_eq!(too_long(&mut host, 2, 257), Err(Sense::invalid_field_in_cdb(6, None)));
    assert_eq!(too_long(&mut host, 0, 513), Err(Sense::invalid_field_in_cdb(6, None)));
    for (list, byte) in [(&b"no end"[..], 5), (b"end\0more", 4), (b"\xff\0", 0)] {
        assert_eq!(set(&mut host, 2, list), Err(Sense::invalid_field_in_parameter_list(byte)), "{list:02x?}");
    }
    for kind in [1, 3, 0x7f] {
        assert_eq!(too_long(&mut host, kind, 0), Err(Sense::invalid_field_in_cdb(10, Some(7))), "{kind:x}");
    }
    let report = host.run(&[0xa3, 0x05, 0, 0, 0, 0, 0, 0, 0, 9, 0x02, 0], &[]);
    assert_eq!(report, Err(Sense::invalid_field_in_cdb(10, Some(7))));
    assert_eq!(host.told.len(), 2);
}

#[test]
fn without_a_place_to_keep_it_nothing_is_set() {
    let mut host = Host::without_store(unit());
    assert_eq!(set(&mut host, 0, &[1]), Err(Sense::SAVING_PARAMETERS_NOT_SUPPORTED));
    assert_eq!(report(&mut host, 0), [0; 4]);
}

#[test]
fn a_file_cannot_bring_what_no_command_could() {
    use crate::saved::{ApplicationLog, Saved};
    let identifying = Identifying { peripheral: vec![0; 513], text: "a\0b".to_owned() };
    let application = ApplicationLog([(64, vec![0; 252])].into());
    let exceptions = crate::Exceptions { disabled: true, test: true, on_request: true };
    let mode = crate::ModeParameters { exceptions, ..Default::default() };
    let mut host = Host::new(unit());
    let mut saved = Saved { mode, ..Saved::default() };
    (saved.identifying, saved.application) = (identifying, application);
    host.unit.restore(&saved);
    assert_eq!((report(&mut host, 0), report(&mut host, 2)), (vec![0; 4], vec![0; 4]));
    assert_eq!(host.unit.mode(), crate::ModeParameters::default());
    assert_eq!(host.unit.state().kept().application, ApplicationLog::default());
}

/// The time goes on from what was set; how fast is the clock's affair.
#[test]
fn a_timestamp_is_the_hosts_until_it_is_set() {
    let mut host = Host::new(unit());
    let ask = |host: &mut Host| host.run(&[0xa3, 0x0f, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0], &[]).expect("a timestamp");
    let milliseconds = |answer: &[u8]| answer[4..10].iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
    let before = ask(&mut host);
    assert_eq!((before.len(), &before[..3]), (12, &[0, 10, 3][..]));
    assert!(milliseconds(&before) > 1_700_000_000_000, "after 2023");
    let mut set = |list: &[u8]| host.run(&[0xa4, 0x0f, 0, 0, 0, 0, 0, 0, 0, list.len() as u8, 0, 0], list);
    assert_eq!(set(&[]), GOOD);
    assert_eq!(set(&[0; 11]), Err(Sense::PARAMETER_LIST_LENGTH_ERROR));
    assert_eq!(set(&[0, 0, 0, 0, 0x00, 0xdc, 0x6a, 0xcf, 0xac, 0x00, 0, 0]), GOOD);
    assert_eq!(host.told, [UnitAttention::TimestampChanged]);
    let after = ask(&mut host);
    assert_eq!(after[2], 2, "set by a command");
    assert!((0x00dc_6acf_ac00..0x00dc_6adf_ac00).contains(&milliseconds(&after)));
}

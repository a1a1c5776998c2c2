use proptest::prelude::*;

use super::*;
use crate::agent::{Directory, Settings, Target};

const GID: u128 = 0xfe80_0000_0000_0000_0000_0000_0010_0003;
const LOCAL: Local = Local { gid: 0xfe80 << 112 | 5, manager: Destination { lid: 1, service_level: 0 }, pkey: 0xffff };

/// The most that a peer can have us ask: a path, itself, its controllers, and their services by four.
const QUESTIONS_MAX: usize = 1 + 2 + 255 * (1 + 64);

/// A fabric with a subnet administrator at LID 1, which knows the port with LID 7, and what answers there.
struct Fabric<F> {
    answer: F,
    asked: Vec<(Destination, u8, u16)>,
}

impl<F: FnMut(&[u8; MAD_BYTES]) -> Result<Vec<u8>, AskError>> Ask for Fabric<F> {
    fn ask(&mut self, to: Destination, question: &[u8; MAD_BYTES]) -> Result<Vec<u8>, AskError> {
        self.asked.push((to, question[1], u16::from_be_bytes([question[16], question[17]])));
        (self.answer)(question)
    }
}

fn fabric<F: FnMut(&[u8; MAD_BYTES]) -> Result<Vec<u8>, AskError>>(answer: F) -> Fabric<F> {
    Fabric { answer, asked: Vec::new() }
}

fn path(question: &[u8; MAD_BYTES], status: u16) -> Vec<u8> {
    let mut mad = question.to_vec();
    mad[3] = 0x81;
    mad[4..6].copy_from_slice(&status.to_be_bytes());
    mad[56 + 8..56 + 24].copy_from_slice(&GID.to_be_bytes());
    mad[56 + 40..56 + 42].copy_from_slice(&7_u16.to_be_bytes());
    mad[56 + 53] = 0xf2; // the low half is the service level
    mad
}

fn directory(targets: u64, services: u64) -> Directory {
    let service_ids = (0..services).map(|port| 0x013f_15b3 + port).collect();
    let settings =
        Settings { service_ids, send_queue_depth: 128, rdma_read_depth: 4, send_bytes: 8260, rdma_bytes: 1 << 20 };
    let mut directory = Directory::new(settings);
    let target = |n| Target { name: format!("t{n}"), id_ext: 0xa0 + n, ioc_guid: 0xb0 + n };
    directory.set_targets(&(1..=targets).map(target).collect::<Vec<_>>());
    directory
}

/// What a sound fabric answers.
fn sound(directory: &Directory, question: &[u8; MAD_BYTES]) -> Vec<u8> {
    match question[1] {
        0x03 => path(question, 0),
        _ => directory.answer(question).expect("it is answered").mad.to_vec(),
    }
}

fn line(target: u64, service_id: u64) -> String {
    format!(
        "id_ext={:016X},ioc_guid={:016x},dgid=fe800000000000000000000000100003,pkey=ffff,service_id={service_id:016x}",
        0xa0 + target,
        0xb0 + target
    )
}

#[test]
fn every_service_of_every_target_is_a_line_as_ibsrpdm_prints_it() {
    let directory = directory(2, 5);
    let lines: Vec<String> = (1..=2).flat_map(|target| (0..5).map(move |n| line(target, 0x013f_15b3 + n))).collect();
    for whom in [Whom::Lid(7), Whom::Gid(GID), Whom::Both(7, GID)] {
        let mut fabric = fabric(|question| Ok(sound(&directory, question)));
        let found = discover(&mut fabric, LOCAL, whom).expect("targets");
        assert_eq!(found.logins.iter().map(Login::to_string).collect::<Vec<_>>(), lines, "{whom}");
        assert_eq!(found.left_out, Vec::<String>::new());
        let administrator = fabric.asked.iter().filter(|(to, class, _)| *class == 3 && *to == LOCAL.manager).count();
        assert_eq!(administrator, usize::from(!matches!(whom, Whom::Both(..))));
        let service_level = if matches!(whom, Whom::Both(..)) { 0 } else { 2 };
        let to = Destination { lid: 7, service_level };
        assert!(fabric.asked.iter().all(|(asked, class, _)| *class == 3 || *asked == to), "{:?}", fabric.asked);
    }
}

#[test]
fn another_io_class_is_told_of() {
    let login = Login { id_ext: "A1".into(), ioc_guid: 2, gid: GID, pkey: 0x8001, service_id: 3, io_class: 0xff00 };
    assert!(login.to_string().ends_with(",pkey=8001,service_id=0000000000000003,io_class=ff00"), "{login}");
}

#[test]
fn a_port_that_tells_of_255_targets_is_asked_no_more_than_that_takes() {
    let directory = directory(255, 255);
    let mut fabric = fabric(|question| Ok(sound(&directory, question)));
    let found = discover(&mut fabric, LOCAL, Whom::Gid(GID)).expect("targets");
    assert_eq!((found.logins.len(), fabric.asked.len()), (255 * 255, QUESTIONS_MAX));
}

fn failure(whom: Whom, answer: impl FnMut(&[u8; MAD_BYTES]) -> Result<Vec<u8>, AskError>) -> String {
    discover(&mut fabric(answer), LOCAL, whom).expect_err("nothing is found").to_string()
}

#[test]
fn failures_name_who_did_not_answer_and_what_to_look_at() {
    let text = failure(Whom::Gid(GID), |_| Err(AskError::NoAnswer));
    assert!(text.contains("subnet administrator (LID 1)") && text.contains("GID fe80::10:3: no answer."), "{text}");
    let text = failure(Whom::Lid(9), |question| Ok(path(question, 0x0300)));
    assert!(text.contains("no path to LID 9: status 0x0300, no record"), "{text}");
    let text = failure(Whom::Lid(9), |question| Ok(path(question, 0)));
    assert!(text.contains("the answer is about another port"), "{text}");
    let text = failure(Whom::Both(7, GID), |_| Err(AskError::NoAnswer));
    assert!(text.contains("LID 7 does not answer device management: no answer. Is the port up"), "{text}");
    let unsupported = |question: &[u8; MAD_BYTES]| {
        let mut mad = question.to_vec();
        mad[3..6].copy_from_slice(&[0x81, 0x00, 0x0c]);
        Ok(mad)
    };
    let text = failure(Whom::Both(7, GID), unsupported);
    assert!(text.contains("but not ClassPortInfo: status 0x000c, not supported"), "{text}");
    let local = Local { manager: Destination { lid: 0, service_level: 0 }, ..LOCAL };
    let mut silent = fabric(|_| Err(AskError::NoAnswer));
    let text = discover(&mut silent, local, Whom::Lid(7)).expect_err("nobody to ask").to_string();
    assert!(text.contains("no subnet manager: start one") && silent.asked.is_empty(), "{text}");
}

#[test]
fn a_controller_that_is_refused_is_left_out_and_the_others_are_told_of() {
    let directory = directory(2, 1);
    let mut fabric = fabric(|question| {
        let mut mad = sound(&directory, question);
        if question[16..24] == [0, 0x11, 0, 0, 0, 0, 0, 1] {
            mad[4..6].copy_from_slice(&0x0100_u16.to_be_bytes());
        }
        Ok(mad)
    });
    let found = discover(&mut fabric, LOCAL, Whom::Lid(7)).expect("a target");
    assert_eq!(found.logins.iter().map(Login::to_string).collect::<Vec<_>>(), [line(2, 0x013f_15b3)]);
    assert!(matches!(&found.left_out[..], [one] if one.starts_with("controller 1: ")), "{:?}", found.left_out);
}

#[test]
fn a_port_that_falls_silent_ends_the_questions() {
    let directory = directory(255, 1);
    let mut fabric = fabric(|question| match question[17] {
        0x11 => Err(AskError::NoAnswer),
        _ => Ok(sound(&directory, question)),
    });
    assert!(matches!(discover(&mut fabric, LOCAL, Whom::Lid(7)), Err(DiscoverError::Agent { .. })));
    assert_eq!(fabric.asked.len(), 4);
}

#[test]
fn names_that_are_not_an_srp_targets_are_passed_by() {
    let entry = |name: &[u8]| {
        let mut entry = [0; 48];
        entry[..name.len()].copy_from_slice(name);
        answer::service_entries(&entry, 1).len()
    };
    assert_eq!(entry(b"SRP.T10:00000000000000a1"), 1);
    for name in [
        &b"SRP.T10:00000000000000a"[..],
        b"SRP.T10:00000000000000a11",
        b"SRP.T10:00000000000\n00a1",
        b"SRP.T10:00000000000,00a1",
        b"SRP.T11:00000000000000a1",
        b"",
        &[0xff; 40],
    ] {
        assert_eq!(entry(name), 0, "{name:?}");
    }
}

proptest! {
    /// Whatever comes instead of an answer, in its place or behind a header that fits: no panic, no endless questions, and nothing in a line that
    /// is not a login string's.
    #[test]
    fn hostile_answers_do_no_harm(
        noise in proptest::collection::vec(any::<u8>(), 0..512),
        fits in any::<bool>(),
        spoiled in proptest::collection::vec((3_usize..MAD_BYTES, any::<u8>()), 0..8),
        services in 1_u64..9,
    ) {
        let directory = directory(3, services);
        let mut fabric = fabric(|question| {
            let mut mad = sound(&directory, question);
            if fits {
                spoiled.iter().for_each(|(at, byte)| mad[*at] = *byte);
                let at = 64 + usize::from(question[17]);
                noise.iter().take(40).enumerate().for_each(|(n, byte)| mad[at + n] ^= byte & 0x11);
            } else if question[23] != 0 || noise.len() % 2 == 0 {
                mad.clone_from(&noise);
            }
            Ok(mad)
        });
        if let Ok(found) = discover(&mut fabric, LOCAL, Whom::Gid(GID)) {
            for login in found.logins {
                let line = login.to_string();
                prop_assert!(line.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"=,_".contains(&byte)), "{}", line);
            }
        }
        prop_assert!(fabric.asked.len() <= QUESTIONS_MAX);
    }

    #[test]
    fn any_data_parse_to_something(data in proptest::collection::vec(any::<u8>(), 0..256), count in 0_usize..300) {
        let _ = answer::path_record(&data);
        let _ = answer::io_unit_info(&data);
        let _ = answer::io_controller_profile(&data);
        prop_assert!(answer::service_entries(&data, count).len() <= 4);
    }
}

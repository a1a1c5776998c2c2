use proptest::prelude::*;

use super::*;

fn target(number: u64) -> Target {
    Target { name: format!("disk{number}"), id_ext: number, ioc_guid: 0x1000 + number }
}

fn directory(targets: &[u64]) -> Directory {
    let mut directory = Directory::new(Settings {
        service_ids: vec![0x13f_15b3, 0x13f_15b4],
        send_queue_depth: 128,
        rdma_read_depth: 4,
        send_bytes: 8260,
        rdma_bytes: 1 << 20,
    });
    set(&mut directory, targets);
    directory
}

fn set(directory: &mut Directory, targets: &[u64]) -> bool {
    let targets: Vec<Target> = targets.iter().map(|number| target(*number)).collect();
    directory.set_targets(&targets)
}

fn mad(method: u8, attribute: u16, modifier: u32) -> [u8; MAD_BYTES] {
    let mut mad = [0; MAD_BYTES];
    mad[..4].copy_from_slice(&[1, 6, 1, method]);
    mad[16..18].copy_from_slice(&attribute.to_be_bytes());
    mad[20..24].copy_from_slice(&modifier.to_be_bytes());
    mad
}

fn get(directory: &Directory, attribute: u16, modifier: u32) -> (Status, Vec<u8>) {
    let answer = directory.answer(&mad(1, attribute, modifier)).expect("it is answered");
    assert_eq!(answer.mad[4..6], (answer.status as u16).to_be_bytes());
    (answer.status, answer.mad[64..].to_vec())
}

/// The change id, and the numbers of the slots that are taken.
fn unit(directory: &Directory) -> (u16, Vec<u32>) {
    let (status, data) = get(directory, 0x0010, 0);
    assert_eq!(status, Status::Good);
    let half = |slot: u8| data[4 + usize::from(slot / 2)] >> (4 * (1 - slot % 2)) & 0xf;
    assert!((data[2]..=255).all(|slot| half(slot) == 0xf));
    let taken = (0..data[2]).filter(|slot| half(*slot) == 1).map(|slot| u32::from(slot) + 1);
    (u16::from_be_bytes([data[0], data[1]]), taken.collect())
}

#[test]
fn each_target_is_a_controller_with_its_services() {
    let directory = directory(&[7, 9]);
    assert_eq!(unit(&directory).1, [1, 2]);
    for (slot, number) in [(1, 7_u64), (2, 9)] {
        let (status, profile) = get(&directory, 0x0011, slot);
        assert_eq!((status, &profile[..8]), (Status::Good, (0x1000 + number).to_be_bytes().as_slice()));
        assert_eq!(profile[54], 2);
        let (status, services) = get(&directory, 0x0012, slot << 16 | 0x0100);
        assert_eq!(status, Status::Good);
        assert_eq!(services[..24], *format!("SRP.T10:{number:016X}").as_bytes());
        assert_eq!(services[88..96], 0x13f_15b4_u64.to_be_bytes());
        assert_eq!(get(&directory, 0x0012, slot << 16 | 0x0101).1[40..48], 0x13f_15b4_u64.to_be_bytes());
    }
    assert_eq!(get(&directory, 0x0001, 0).1[..8], [1, 1, 0, 0, 0, 0, 0, 20]);
}

#[test]
fn what_is_not_there_has_its_status() {
    let directory = directory(&[7]);
    assert_eq!(get(&directory, 0x0011, 2).0, Status::NoController);
    assert_eq!(get(&directory, 0x0011, 17).0, Status::InvalidField);
    assert_eq!(get(&directory, 0x0012, 0x0002_0000).0, Status::NoController);
    assert_eq!(get(&directory, 0x0012, 0x0001_0200).0, Status::InvalidField);
    assert_eq!(get(&directory, 0x0099, 0).0, Status::UnsupportedAttribute);
    let status = |method| directory.answer(&mad(method, 0x0001, 0)).map(|answer| answer.status);
    assert_eq!(status(0x02), Ok(Status::UnsupportedAttribute));
    assert_eq!(status(0x15), Ok(Status::UnsupportedMethod));
    assert_eq!(status(0x81), Err(Unanswerable::Method(0x81)));
}

#[test]
fn a_target_keeps_its_slot_and_changes_move_the_change_id() {
    let mut directory = directory(&[1, 2, 3]);
    let (id, slots) = unit(&directory);
    assert_eq!(slots, [1, 2, 3]);
    assert!(!set(&mut directory, &[3, 2, 1]), "another order is no change");
    assert_eq!(unit(&directory).0, id);
    assert!(set(&mut directory, &[1, 3]));
    assert_eq!(unit(&directory), (id + 1, vec![1, 3]));
    assert!(set(&mut directory, &[1, 3, 4]));
    assert_eq!(unit(&directory), (id + 2, vec![1, 2, 3]));
    assert_eq!(get(&directory, 0x0011, 2).1[..8], 0x1004_u64.to_be_bytes());
    let renamed = [target(1), Target { name: "other".into(), ..target(3) }, target(4)];
    assert!(directory.set_targets(&renamed));
    assert_eq!(&get(&directory, 0x0011, 3).1[64..74], b"srpt other");
}

#[test]
fn there_are_as_many_slots_as_targets_up_to_255() {
    let numbers: Vec<u64> = (1..=300).collect();
    let mut directory = directory(&numbers);
    assert_eq!(unit(&directory).1, (1..=255).collect::<Vec<u32>>());
    assert_eq!(get(&directory, 0x0011, 255).1[..8], (0x1000_u64 + 255).to_be_bytes());
    assert!(!set(&mut directory, &numbers), "those without a slot are not found new each time");
    assert!(set(&mut directory, &numbers[..20]));
    assert_eq!(get(&directory, 0x0010, 0).1[2], 20);
    assert!(set(&mut directory, &[]));
    assert_eq!((get(&directory, 0x0010, 0).1[2], unit(&directory).1), (16, vec![]));
}

proptest! {
    #[test]
    fn an_answer_is_a_whole_datagram_with_the_transaction_of_its_request(
        mut mad in proptest::array::uniform32(any::<u8>()), is_ours in any::<bool>(), attribute in 0x0f..0x13_u8, length in 250..260_usize,
    ) {
        if is_ours {
            mad[..4].copy_from_slice(&[1, 6, 1, 1]);
            mad[16..22].copy_from_slice(&[0, attribute, 0, 0, 0, 0]);
        }
        let mut mad = mad.to_vec();
        mad.resize(length, 0);
        let answer = directory(&[1, 2]).answer(&mad);
        prop_assert_eq!(answer.is_ok(), length == MAD_BYTES && mad[..3] == [1, 6, 1] && mad[3] & 0x80 == 0 && ![3, 5, 7].contains(&mad[3]));
        if let Ok(answer) = answer {
            prop_assert_eq!(&answer.mad[8..24], &mad[8..24]);
            prop_assert_eq!(answer.mad[3], 0x81);
        }
    }
}

#[test]
fn service_ids_that_change_are_told_and_move_the_change_id() {
    let mut directory = directory(&[]);
    let before = directory.change_id;
    assert!(directory.set_service_ids(&[7, 8]));
    assert!(!directory.set_service_ids(&[7, 8]));
    assert_eq!((directory.change_id, &directory.settings.service_ids[..]), (before.wrapping_add(1), &[7, 8][..]));
    assert!(directory.set_service_ids(&vec![9; SERVICES_MAX + 1]));
    assert_eq!(directory.settings.service_ids.len(), SERVICES_MAX);
}

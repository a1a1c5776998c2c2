use proptest::prelude::*;

use super::*;

fn mad(method: u8, attribute: u16, modifier: u32) -> [u8; MAD_BYTES] {
    let mut mad = [0; MAD_BYTES];
    put(&mut mad, 0, &[BASE_VERSION, CLASS, CLASS_VERSION, method]);
    put(&mut mad, 8, &0x0123_4567_89ab_cdef_u64.to_be_bytes());
    put(&mut mad, 16, &attribute.to_be_bytes());
    put(&mut mad, 20, &modifier.to_be_bytes());
    mad
}

fn query(attribute: u16, modifier: u32) -> Result<Query, Status> {
    Request::parse(&mad(GET, attribute, modifier)).expect("it is a request").query
}

#[test]
fn attributes_and_their_modifiers_are_told_apart() {
    assert_eq!(query(0x0001, 0), Ok(Query::ClassPortInfo));
    assert_eq!(query(0x0010, 0), Ok(Query::IoUnitInfo));
    assert_eq!(query(0x0011, 1), Ok(Query::IoControllerProfile { slot: 1 }));
    assert_eq!(query(0x0011, 255), Ok(Query::IoControllerProfile { slot: 255 }));
    // What ibsrpdm sends for the first services of the first controller.
    assert_eq!(query(0x0012, 0x0001_0100), Ok(Query::ServiceEntries { slot: 1, first: 0, last: 1 }));
    assert_eq!(query(0x0012, 0x0003_0704), Ok(Query::ServiceEntries { slot: 3, first: 4, last: 7 }));
}

#[test]
fn modifiers_out_of_range_and_unknown_attributes_have_their_status() {
    for (attribute, modifier) in [
        (0x0011, 0),
        (0x0011, 256),
        (0x0011, u32::MAX),
        (0x0012, 0),
        (0x0012, 0x0000_0000),
        (0x0012, 0x0100_0000),
        (0x0012, 0x0001_0001), // backwards
        (0x0012, 0x0001_0400), // five
    ] {
        assert_eq!(query(attribute, modifier), Err(Status::InvalidField), "{attribute:#x} {modifier:#x}");
    }
    for attribute in [0, 0x0002, 0x0013, 0x0020, 0xffff] {
        assert_eq!(query(attribute, 1), Err(Status::UnsupportedAttribute), "{attribute:#x}");
    }
}

#[test]
fn what_wants_no_answer_gets_none() {
    for length in [0, 23, 24, 255, 257, 4096] {
        assert_eq!(Request::parse(&vec![1; length]), Err(Unanswerable::Length(length)));
    }
    for (at, value) in [(0, 0), (0, 2), (1, 0x07), (1, 0x81), (2, 0), (2, 2)] {
        let mut foreign = mad(GET, 0x0010, 0);
        foreign[at] = value;
        assert_eq!(Request::parse(&foreign), Err(Unanswerable::Class), "byte {at} is {value:#x}");
    }
    for method in [SEND, TRAP, TRAP_REPRESS, GET_RESPONSE, 0x82, 0x92, 0xff] {
        assert_eq!(Request::parse(&mad(method, 0x0010, 0)), Err(Unanswerable::Method(method)));
    }
}

#[test]
fn an_answer_has_the_header_of_its_request() {
    let mut asked = mad(GET, 0x0011, 5);
    put(&mut asked, STATUS_AT, &[0xff; 4]);
    let request = Request::parse(&asked).expect("it is a request");
    let answer = request.answer(Status::NoController, &[7; 192]);
    assert_eq!(answer[..8], [1, 6, 1, 0x81, 0x01, 0x00, 0, 0]);
    assert_eq!(answer[8..24], asked[8..24]);
    assert_eq!(answer[24..64], [0; 40]);
    assert_eq!(answer[64..], [7; 192]);
}

#[test]
fn the_io_unit_tells_slots_taken_free_and_none() {
    let data = io_unit_info(0x1234, &[true, false, true]);
    assert_eq!(data[..7], [0x12, 0x34, 3, 0, 0x10, 0x1f, 0xff]);
    assert_eq!(data[131..133], [0xff, 0]);
    assert_eq!(io_unit_info(1, &[true; SLOTS_MAX])[2..132], [[255, 0].as_slice(), &[0x11; 127], &[0x1f]].concat());
}

#[test]
fn a_profile_has_its_fields_where_initiators_look() {
    let profile = IoControllerProfile {
        guid: 0x0102_0304_0506_0708,
        send_queue_depth: 0x1122,
        rdma_read_depth: 4,
        send_bytes: 8260,
        rdma_bytes: 1 << 20,
        services: 2,
        name: "srpt disks",
    };
    let data = profile.emit();
    assert_eq!(data[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(data[8..28], [0; 20]);
    assert_eq!(data[28..36], [0x01, 0x00, 0x60, 0x9e, 0x01, 0x08, 0x00, 0x01]);
    assert_eq!(data[36..52], [0, 0, 0, 0, 0x11, 0x22, 0, 4, 0, 0, 0x20, 0x44, 0, 0x10, 0, 0]);
    assert_eq!(data[52..64], [0x2b, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&data[64..75], b"srpt disks\0");
    let long = IoControllerProfile { name: &"ü".repeat(40), ..profile }.emit();
    assert_eq!(std::str::from_utf8(&long[64..126]), Ok("ü".repeat(31).as_str()));
    assert_eq!(long[126..], [0; 66]);
}

#[test]
fn services_are_named_by_the_target_in_sixteen_digits() {
    let data = service_entries(0x00ab_cdef, &[0x13f_15b3, 2]);
    assert_eq!(&data[..25], b"SRP.T10:0000000000ABCDEF\0");
    assert_eq!(data[40..48], [0, 0, 0, 0, 0x01, 0x3f, 0x15, 0xb3]);
    assert_eq!(&data[48..72], b"SRP.T10:0000000000ABCDEF");
    assert_eq!(data[95], 2);
    assert_eq!(data[96..], [0; 96]);
}

proptest! {
    #[test]
    fn no_bytes_panic(mad in proptest::collection::vec(any::<u8>(), 0..300), name in ".*", slots in 0..300_usize) {
        let _ = Request::parse(&mad);
        let profile = IoControllerProfile { guid: 0, send_queue_depth: 0, rdma_read_depth: 0, send_bytes: 0, rdma_bytes: 0, services: 0, name: &name };
        prop_assert_eq!(profile.emit()[127], 0);
        io_unit_info(0, &vec![true; slots]);
        service_entries(0, &vec![0; slots]);
    }
}

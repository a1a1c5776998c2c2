//! Commands from CDB to ending, on a device that the tests play.

use bdev::IoError;
use bdev::passthrough::fake::{FakeDevice, Reply};
use proptest::prelude::*;

use super::*;
use crate::nexus::UnitAttention;
use crate::testing::context;
use crate::{Job, UnitOptions};

const LIMIT: u32 = 65536;

fn unit(device_type: u8) -> LogicalUnit {
    let device = FakeDevice::new(1, |_| Reply::GOOD).bdev("dev", device_type, LIMIT, 1);
    LogicalUnit::new(UnitOptions::new(device)).expect("a unit without blocks")
}

/// Begins a command whose initiator has such buffers.
fn begin(unit: &LogicalUnit, cdb: &[u8], data_out_len: u32, data_in_len: u32) -> Result<Job, Ending> {
    crate::begin(cdb, &Context { data_out_len, data_in_len, ..context(unit) })
}

fn refusal(unit: &LogicalUnit, cdb: &[u8], data_out_len: u32, data_in_len: u32) -> (u8, u8) {
    match begin(unit, cdb, data_out_len, data_in_len) {
        Err(Ending::CheckCondition(sense)) => (sense.asc, sense.ascq),
        other => panic!("{cdb:02x?}: {other:?}"),
    }
}

/// Runs a command; `device` gets each request's CDB and data, and says status, bytes moved, sense.
fn run(
    unit: &LogicalUnit,
    cdb: &[u8],
    (data_out_len, data_in_len): (u32, u32),
    mut device: impl FnMut(&[u8], &mut [u8]) -> (u8, u32, Vec<u8>),
) -> (Ending, Vec<u8>) {
    let context = Context { data_out_len, data_in_len, ..context(unit) };
    let mut job = crate::begin(cdb, &context).expect("let through");
    assert_eq!((job.data_out_len(), job.data_in_len()), (data_out_len, data_in_len));
    let mut buffer = vec![0xee; job.buffer_len()];
    let mut last = None;
    loop {
        match job.step(&context, last, &mut buffer) {
            Step::Done(ending) => return (ending, buffer),
            Step::Io { on: None, op: Op::Scsi { direction }, lba: 0, blocks: 0, data } => {
                assert_eq!(data, 0..buffer.len());
                assert_eq!(direction != Direction::None, data_out_len + data_in_len > 0);
                let request = Request::parse(&buffer).expect("a request");
                let (cdb, part) = (request.cdb.to_vec(), request.data);
                let (status, moved, sense) = device(&cdb, &mut buffer[part]);
                Outcome { status, moved, sense: &sense }.emit(&mut buffer);
                last = Some(Ok(()));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn data_and_sense_reach_the_initiator_together() {
    // A tape's block is shorter than asked for: its data comes with CHECK CONDITION, NO SENSE and ILI.
    let ili = [0xf0, 0, 0x20, 0, 0, 0x20, 0, 10, 0, 0, 0, 0, 0, 0];
    let (ending, buffer) = run(&unit(1), &[0x08, 0, 0, 0x40, 0, 0], (0, 0x4000), |cdb, data| {
        assert_eq!((cdb, data.len()), (&[0x08, 0, 0, 0x40, 0, 0][..], 0x4000));
        data[..0x2000].fill(7);
        (2, 0x2000, ili.to_vec())
    });
    let Ending::Device { status: 2, data_in, taken: 0, sense, changed: None } = ending else { panic!("{ending:?}") };
    assert_eq!((&buffer[data_in.clone()], data_in), (&[7; 0x2000][..], 0..0x2000));
    assert_eq!(buffer[sense], ili);
}

#[test]
fn what_a_device_tells_one_all_are_told() {
    let attention = |asc, ascq| vec![0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq];
    let changed = |cdb: &[u8], lens, status, sense: Vec<u8>| match run(&unit(0), cdb, lens, |_, data| {
        data.fill(0);
        let len = sense.len().min(data.len());
        data[..len].copy_from_slice(&sense[..len]);
        (status, data.len() as u32, sense.clone())
    }) {
        (Ending::Device { changed, .. }, _) => changed,
        (other, _) => panic!("{other:?}"),
    };
    let ready = [0; 6];
    assert_eq!(changed(&ready, (0, 0), 2, attention(0x28, 0)), Some(UnitAttention::NotReadyToReady));
    assert_eq!(changed(&ready, (0, 0), 0, vec![]), None);
    assert_eq!(changed(&[0x15, 0x10, 0, 0, 12, 0], (12, 0), 0, vec![]), Some(UnitAttention::ModeParametersChanged));
    assert_eq!(changed(&[0x15, 0x10, 0, 0, 12, 0], (12, 0), 2, vec![]), None, "a MODE SELECT that failed");
    // REQUEST SENSE takes it from the device, too.
    assert_eq!(changed(&[3, 0, 0, 0, 18, 0], (0, 18), 0, attention(0x2a, 9)), Some(UnitAttention::CapacityChanged));
}

#[test]
fn our_own_attention_comes_first_and_our_own_luns() {
    let unit = unit(0);
    let nexus = UnitNexus::new();
    nexus.establish(UnitAttention::PowerOnReset);
    let context = Context { nexus: Some(&nexus), data_in_len: 18, ..context(&unit) };
    let through = |cdb: &[u8]| match crate::begin(cdb, &context) {
        Ok(job) => job.buffer_len() == passthrough::buffer_bytes(18),
        Err(ending) => panic!("{ending:?}"),
    };
    assert!(through(&[0x12, 0, 0, 0, 18, 0]), "INQUIRY leaves it pending");
    assert!(!through(&[3, 0, 0, 0, 18, 0]), "REQUEST SENSE reports it");
    assert!(!through(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 18, 0, 0]), "REPORT LUNS is ours");
    assert!(matches!(crate::begin(&[0; 6], &context), Err(Ending::CheckCondition(Sense { asc: 0x29, .. }))));
    assert!(through(&[3, 0, 0, 0, 18, 0]), "nothing is pending any more");
}

#[test]
fn what_would_reach_past_the_device_is_refused() {
    let disk = unit(0);
    for cdb in [
        &[0x16, 0, 0, 0, 0, 0][..],
        &[0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x5e, 0, 0, 0, 0, 0, 0, 0, 8, 0],
        &[0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0],
        &[0x83, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x84, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0],
        &[0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0],
        &[0x7e; 16],
    ] {
        assert_eq!(refusal(&disk, cdb, 0, 0), (0x20, 0), "{cdb:02x?}");
    }
    assert!(begin(&disk, &[0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0], 0, 8).is_ok(), "another service action");
    assert!(begin(&unit(5), &[0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0], 0, 8).is_ok(), "REPORT KEY of MMC");
    assert_eq!(refusal(&disk, &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 4], 0, 512), (0x24, 0), "NACA");
    assert_eq!(refusal(&disk, &[0; 5], 0, 0), (0x20, 0), "no CDB");
    assert_eq!(refusal(&disk, &[0x28, 0, 0, 0, 0, 0], 0, 512), (0x24, 0), "half a CDB");
    assert_eq!(refusal(&disk, &[0x12, 0, 0, 0, 36, 0], 36, 36), (0x24, 0), "both directions");
}

#[test]
fn variable_length_cdbs_go_through_up_to_the_kernels_limit() {
    let mut cdb = vec![0x7f; 40];
    (cdb[1], cdb[7]) = (0, 24);
    let (ending, _) = run(&unit(0), &cdb, (0, 512), |cdb, _| {
        assert_eq!(cdb.len(), 32);
        (0, 512, vec![])
    });
    assert!(matches!(ending, Ending::Device { status: 0, .. }));
    cdb[7] = 28;
    assert_eq!(refusal(&unit(0), &cdb, 0, 512), (0x24, 0));
}

#[test]
fn a_read_only_lun_lets_through_what_changes_nothing() {
    let allowed = |device_type, cdb: &[u8], out| {
        let unit = unit(device_type);
        let context = Context { read_only: true, data_out_len: out, ..context(&unit) };
        match crate::begin(cdb, &context) {
            Ok(_) => true,
            Err(Ending::CheckCondition(Sense { asc: 0x27, .. })) => false,
            Err(other) => panic!("{other:?}"),
        }
    };
    let ten = |operation| [operation, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let six = |operation| [operation, 0, 0, 0, 0, 0];
    assert!(allowed(0, &ten(0x28), 0) && allowed(0, &six(0x12), 0) && allowed(5, &ten(0x43), 0));
    for operation in [0x2a, 0x2e, 0x41, 0x42, 0x3b, 0x55, 0x5d] {
        assert!(!allowed(0, &ten(operation), 0), "{operation:02x}");
    }
    assert!(!allowed(0, &six(0x04), 0) && !allowed(0, &six(0x1d), 0) && !allowed(0, &six(0x15), 0));
    assert!(
        allowed(1, &six(0x08), 0)
            && allowed(1, &six(0x01), 0)
            && !allowed(1, &six(0x10), 0)
            && !allowed(1, &six(0x0a), 0)
    );
    assert!(!allowed(0, &six(0x01), 0), "REWIND of a disk is nothing known");
    assert!(!allowed(8, &[0xa5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0), "MOVE MEDIUM");
    assert!(allowed(8, &[0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0), "READ ELEMENT STATUS");
    assert!(allowed(0, &[0x1b, 0, 0, 0, 1, 0], 0) && !allowed(0, &[0x1b, 0, 0, 0, 2, 0], 0), "start, not eject");
}

#[test]
fn a_long_read_is_done_in_pieces_and_ends_where_the_device_does() {
    let disk = unit(0);
    let cdb = [0x28, 0x08, 0, 0, 1, 0, 0, 1, 0, 0]; // 256 blocks from 256 on
    let mut seen = Vec::new();
    let (ending, buffer) = run(&disk, &cdb, (0, 131_072), |cdb, data| {
        seen.push((cdb[1], cdb[4], cdb[5], cdb[7], cdb[8], data.len()));
        data.fill(seen.len() as u8);
        (0, data.len() as u32, vec![])
    });
    assert_eq!(seen, [(8, 1, 0, 0, 128, 65536), (8, 1, 128, 0, 128, 65536)]);
    let Ending::Device { status: 0, data_in, .. } = ending else { panic!("{ending:?}") };
    assert_eq!((data_in, buffer[65535], buffer[65536]), (0..131_072, 1, 2));
    let mut pieces = 0;
    let (ending, _) = run(&disk, &cdb, (0, 131_072), |_, _| {
        pieces += 1;
        (2, 512, vec![0x70, 0, 3])
    });
    assert_eq!(pieces, 1, "an error ends it");
    assert!(matches!(ending, Ending::Device { status: 2, data_in, .. } if data_in == (0..512)));
    assert_eq!(refusal(&disk, &[0x3c; 10], 0, LIMIT + 1), (0x24, 0), "READ BUFFER is not split");
    assert_eq!(refusal(&unit(1), &[0x08, 0, 1, 0, 1, 0], 0, LIMIT + 1), (0x24, 0), "a tape's block is one");
    assert_eq!(refusal(&disk, &cdb, 0, (1 << 20) + 512), (0x24, 0), "more than the transport has");
}

#[test]
fn data_out_that_was_not_taken_is_told() {
    let (ending, _) = run(&unit(0), &[0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0], (512, 0), |_, _| (2, 100, vec![1, 2, 3]));
    assert!(matches!(ending, Ending::Device { status: 2, taken: 100, ref data_in, .. } if data_in.is_empty()));
}

#[test]
fn a_read_only_lun_says_that_it_is() {
    let unit = unit(0);
    let context = Context { read_only: true, data_in_len: 4, ..context(&unit) };
    let mut job = crate::begin(&[0x1a, 0, 0x3f, 0, 4, 0], &context).expect("let through");
    let mut buffer = vec![0; job.buffer_len()];
    assert!(matches!(job.step(&context, None, &mut buffer), Step::Io { .. }));
    Outcome { status: 0, moved: 4, sense: &[] }.emit(&mut buffer);
    assert!(matches!(job.step(&context, Some(Ok(())), &mut buffer), Step::Done(Ending::Device { status: 0, .. })));
    assert_eq!(buffer[..4], [0, 0, 0x80, 0]);
}

#[test]
fn a_device_that_is_gone_is_not_ready() {
    let unit = unit(0);
    let context = context(&unit);
    let mut job = crate::begin(&[0; 6], &context).expect("let through");
    let mut buffer = vec![0; job.buffer_len()];
    assert!(matches!(job.step(&context, None, &mut buffer), Step::Io { .. }));
    let step = job.step(&context, Some(Err(IoError::Gone)), &mut buffer);
    assert_eq!(step, Step::Done(Ending::CheckCondition(Sense::NOT_READY_MANUAL_INTERVENTION)));
}

#[test]
fn the_unit_is_called_what_the_device_says() {
    let unit = unit(1);
    assert_eq!((unit.vendor(), unit.name(), unit.revision()), ("FAKE", "DEVICE", "1"));
}

proptest! {
    #[test]
    fn no_cdb_gets_a_buffer_or_an_answer_that_is_too_long(
        device_type in 0_u8..32,
        cdb in proptest::collection::vec(any::<u8>(), 0..48),
        lens in prop_oneof![(Just(0), 0..2_000_000_u32), (0..2_000_000_u32, Just(0)), (1..99_u32, 1..99_u32)],
        read_only in any::<bool>(),
        answers in proptest::collection::vec((any::<u8>(), any::<u32>(), proptest::collection::vec(any::<u8>(), 0..96)), 1..40),
    ) {
        let unit = unit(device_type);
        let context = Context { data_out_len: lens.0, data_in_len: lens.1, read_only, ..context(&unit) };
        let Ok(mut job) = crate::begin(&cdb, &context) else { return Ok(()) };
        prop_assert!(job.buffer_len() <= unit.transfer_bytes_max() as usize + crate::SCRATCH_BYTES);
        prop_assert!(job.data_out_len() <= lens.0);
        let mut buffer = vec![0; job.buffer_len()];
        let mut last = None;
        for (status, moved, sense) in answers.iter().cycle().take(3000) {
            match job.step(&context, last, &mut buffer) {
                Step::Done(Ending::Device { data_in, taken, sense, .. }) => {
                    prop_assert!(data_in.end <= lens.1 as usize && taken <= lens.0);
                    prop_assert!(sense.end <= buffer.len());
                    return Ok(());
                }
                Step::Done(_) => return Ok(()),
                Step::Io { op: Op::Scsi { .. }, .. } => {
                    let request = Request::parse(&buffer).expect("a request");
                    prop_assert!(request.data.len() <= LIMIT as usize);
                    let len = request.data.len() as u32;
                    Outcome { status: status & 2, moved: (*moved).min(len).max(len * (moved % 2)), sense }.emit(&mut buffer);
                    last = Some(Ok(()));
                }
                Step::Io { .. } | Step::Answer | Step::Claim | Step::Control { .. } => return Ok(()),
            }
        }
        prop_assert!(false, "it does not end");
    }
}

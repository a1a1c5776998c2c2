use super::*;
use crate::control::testing::{GOOD, Host, OTHER};
use crate::testing::{PORTS, unit, unit_with};

fn removable() -> Host {
    Host::new(unit_with(|facts| facts.removable = true))
}

/// START STOP UNIT.
fn start_stop(host: &mut Host, options: u8) -> Result<Vec<u8>, Sense> {
    host.run(&[0x1b, 0, 0, 0, options, 0], &[])
}

const TEST_UNIT_READY: [u8; 6] = [0; 6];
const READ: [u8; 10] = [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0];

fn reported(host: &mut Host) -> [u8; 3] {
    let sense = host.run(&[0x03, 0, 0, 0, 18, 0], &[]).expect("sense data");
    [sense[2], sense[12], sense[13]]
}

#[test]
fn an_ejected_medium_is_not_present_until_it_is_loaded() {
    let mut host = removable();
    assert_eq!(start_stop(&mut host, 2), GOOD);
    assert_eq!(host.run(&TEST_UNIT_READY, &[]), Err(Sense::MEDIUM_NOT_PRESENT));
    assert_eq!(host.run(&READ, &[]), Err(Sense::MEDIUM_NOT_PRESENT));
    assert_eq!(reported(&mut host), [2, 0x3a, 0]);
    assert!(host.told.is_empty());
    assert_eq!(start_stop(&mut host, 3), GOOD);
    assert_eq!(host.told, [UnitAttention::NotReadyToReady]);
    assert_eq!(host.run(&TEST_UNIT_READY, &[]), GOOD);
    assert_eq!(start_stop(&mut host, 3), GOOD);
    assert_eq!(host.told.len(), 1, "it was in");
    assert_eq!(start_stop(&mut host, 2), GOOD);
    host.unit.load_medium();
    assert_eq!(host.run(&TEST_UNIT_READY, &[]), GOOD, "somebody else put one in");
}

#[test]
fn whoever_prevents_the_removal_must_allow_it() {
    let mut host = removable();
    let prevent = |host: &mut Host, ports: &PortIds, prevent: u8| host.run_by(ports, &[0x1e, 0, 0, 0, prevent, 0], &[]);
    assert_eq!(prevent(&mut host, &PORTS, 1), GOOD);
    assert_eq!(prevent(&mut host, &OTHER, 1), GOOD);
    assert_eq!(start_stop(&mut host, 2), Err(Sense::MEDIUM_REMOVAL_PREVENTED));
    assert_eq!(prevent(&mut host, &PORTS, 0), GOOD);
    assert_eq!(start_stop(&mut host, 2), Err(Sense::MEDIUM_REMOVAL_PREVENTED), "the other still does");
    host.unit.forget_nexus(&OTHER);
    assert_eq!(start_stop(&mut host, 2), GOOD);
    assert_eq!(start_stop(&mut host, 3), GOOD);
    assert_eq!(prevent(&mut host, &OTHER, 1), GOOD);
    host.unit.reset();
    assert_eq!(start_stop(&mut host, 2), GOOD, "a reset allows it");
}

#[test]
fn a_medium_is_taken_out_with_everything_written() {
    use bdev::{IoError, Op};
    let mut host = Host::new(unit_with(|facts| (facts.removable, facts.write_cache) = (true, true)));
    host.disk.results = [Err(IoError::Medium)].into();
    assert_eq!(start_stop(&mut host, 2), Err(Sense::WRITE_ERROR));
    assert_eq!(host.run(&TEST_UNIT_READY, &[]), GOOD, "it is still in");
    assert_eq!(start_stop(&mut host, 2), GOOD);
    assert_eq!(host.disk.asked, [(Op::Flush, 0, 0); 3]);
    assert_eq!(start_stop(&mut host, 3), GOOD);
    assert_eq!(start_stop(&mut host, 6), GOOD, "NO_FLUSH");
    assert_eq!(host.disk.asked.len(), 3);
}

#[test]
fn a_stopped_unit_wants_to_be_started() {
    let mut host = Host::new(unit());
    assert_eq!(start_stop(&mut host, 0), GOOD);
    for cdb in [&TEST_UNIT_READY[..], &READ, &[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0]] {
        assert_eq!(host.run(cdb, &[]), Err(Sense::INITIALIZING_COMMAND_REQUIRED), "{cdb:02x?}");
    }
    assert_eq!(reported(&mut host), [2, 0x04, 0x02]);
    assert!(host.run(&[0x12, 0, 0, 0, 36, 0], &[]).is_ok() && host.run(&[0x1a, 0, 8, 0, 255, 0], &[]).is_ok());
    assert_eq!(start_stop(&mut host, 1), GOOD);
    assert_eq!(host.run(&TEST_UNIT_READY, &[]), GOOD);
    assert_eq!(start_stop(&mut host, 0), GOOD);
    host.unit.reset();
    assert_eq!(host.run(&TEST_UNIT_READY, &[]), GOOD, "a reset starts it");

    let mut host = removable();
    assert_eq!(start_stop(&mut host, 0), GOOD);
    assert_eq!(host.run(&TEST_UNIT_READY, &[]), GOOD, "a removable medium is stopped by taking it out");
}

#[test]
fn a_unit_that_cannot_write_its_cache_back_is_not_stopped() {
    let mut host = Host::new(unit_with(|facts| facts.write_cache = true));
    for options in [0, 0x30] {
        host.disk.results = [Err(bdev::IoError::Medium)].into();
        assert_eq!(start_stop(&mut host, options), Err(Sense::WRITE_ERROR));
        assert_eq!(reported(&mut host), [0; 3]);
    }
}

#[test]
fn a_unit_at_rest_says_so_and_wakes_for_the_medium() {
    let mut host = Host::new(unit());
    for (options, qualifier) in [(0x20, 3), (0x30, 4)] {
        assert_eq!(start_stop(&mut host, options), GOOD);
        assert_eq!(host.run(&TEST_UNIT_READY, &[]), GOOD);
        assert_eq!(reported(&mut host), [0, 0x5e, qualifier], "TEST UNIT READY does not wake it");
        assert!(host.run(&READ, &[]).is_ok());
        assert_eq!(reported(&mut host), [0; 3]);
        for wakes in [0x10, 0x70, 0x01] {
            assert_eq!(start_stop(&mut host, options), GOOD);
            assert_eq!(start_stop(&mut host, wakes), GOOD);
            assert_eq!(reported(&mut host), [0; 3]);
        }
    }
}

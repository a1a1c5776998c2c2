use super::*;
use crate::control::testing::{GOOD, Host, OTHER};
use crate::testing::{PORTS, unit};

const CAPACITY: u32 = BUFFER_CAPACITY as u32;

fn cdb(opcode: u8, mode: u8, id: u8, offset: u32, length: u32) -> [u8; 10] {
    let ([_, o0, o1, o2], [_, l0, l1, l2]) = (offset.to_be_bytes(), length.to_be_bytes());
    [opcode, mode, id, o0, o1, o2, l0, l1, l2, 0]
}

fn write(host: &mut Host, ports: &PortIds, mode: u8, offset: u32, data: &[u8]) -> Result<Vec<u8>, Sense> {
    host.run_by(ports, &cdb(0x3b, mode, 0, offset, data.len() as u32), data)
}

fn read(host: &mut Host, ports: &PortIds, mode: u8, offset: u32, length: u32) -> Result<Vec<u8>, Sense> {
    host.run_by(ports, &cdb(0x3c, mode, 0, offset, length), &[])
}

#[test]
fn each_nexus_reads_what_it_wrote() {
    let mut host = Host::new(unit());
    assert_eq!(read(&mut host, &PORTS, 0x02, 0, 3), Ok(vec![0; 3]), "what was never written is zero");
    assert_eq!(read(&mut host, &PORTS, 0x0a, 0, 3), Err(Sense::COMMAND_SEQUENCE_ERROR));
    assert_eq!(write(&mut host, &PORTS, 0x02, 4000, b"data"), GOOD);
    assert_eq!(write(&mut host, &PORTS, 0x0a, 0, b"echo"), GOOD);
    assert_eq!(read(&mut host, &PORTS, 0x02, 3999, 6), Ok(b"\0data\0".to_vec()));
    assert_eq!(read(&mut host, &PORTS, 0x02, 4090, 100), Ok(vec![0; 6]), "up to the end of the buffer");
    assert_eq!(read(&mut host, &PORTS, 0x02, CAPACITY, 100), GOOD);
    assert_eq!(read(&mut host, &PORTS, 0x0a, 0, 100), Ok(b"echo".to_vec()));
    assert_eq!(read(&mut host, &OTHER, 0x02, 4000, 4), Ok(vec![0; 4]));
    assert_eq!(read(&mut host, &OTHER, 0x0a, 0, 4), Err(Sense::COMMAND_SEQUENCE_ERROR));
    assert_eq!(write(&mut host, &OTHER, 0x0a, 0, b"other"), GOOD);
    assert_eq!(read(&mut host, &PORTS, 0x0a, 0, 100), Ok(b"echo".to_vec()));
    host.unit.forget_nexus(&OTHER);
    assert_eq!(read(&mut host, &OTHER, 0x0a, 0, 4), Err(Sense::COMMAND_SEQUENCE_ERROR), "gone with its nexus");
    host.unit.reset();
    assert_eq!(read(&mut host, &PORTS, 0x0a, 0, 4), Err(Sense::COMMAND_SEQUENCE_ERROR), "gone with a reset");
}

#[test]
fn descriptors_tell_the_capacity_that_holds() {
    let mut host = Host::new(unit());
    let mut descriptor = |mode: u8, id: u8| host.run(&cdb(0x3c, mode, id, 0, 255), &[]);
    assert_eq!(descriptor(0x03, 0), Ok(vec![0, 0, 0x10, 0]));
    assert_eq!(descriptor(0x03, 1), Ok(vec![0; 4]), "there is no second buffer");
    assert_eq!(descriptor(0x0b, 0), Ok(vec![0, 0, 0x10, 0]));
    let all = vec![0x5a; BUFFER_CAPACITY];
    for mode in [0x02, 0x0a] {
        assert_eq!(write(&mut host, &PORTS, mode, 0, &all), GOOD);
        assert_eq!(read(&mut host, &PORTS, mode, 0, 0xff_ffff), Ok(all.clone()));
    }
}

#[test]
fn faults_are_pointed_at() {
    let mut host = Host::new(unit());
    let mut wrong = |cdb: &[u8]| host.run(cdb, &[]).expect_err("a refusal");
    let field = Sense::invalid_field_in_cdb;
    for opcode in [0x3b, 0x3c] {
        assert_eq!(wrong(&cdb(opcode, 0x02, 1, 0, 1)), field(2, None), "BUFFER ID");
        assert_eq!(wrong(&cdb(opcode, 0x02, 0, CAPACITY + 1, 0)), field(3, None), "BUFFER OFFSET");
        assert_eq!(wrong(&cdb(opcode, 0x05, 0, 0, 0)), field(1, Some(4)), "MODE: microcode");
    }
    assert_eq!(wrong(&cdb(0x3b, 0x02, 0, 1, CAPACITY)), field(6, None));
    assert_eq!(wrong(&cdb(0x3b, 0x0a, 0, 0, CAPACITY + 1)), field(6, None));
}

//! A SCSI command of 4 KiB, from its CDB to the operation that it asks for and to its ending; the device is not asked.

use std::hint::black_box;

use scsi::{
    Address, Addressing, Context, Ending, LogicalUnit, Lun, NoPeers, PortIds, Step, UnitNexus, UnitOptions, begin,
};

/// Eight blocks of 512 bytes from the eighth on, as in all of them.
pub const READ_10: [u8; 16] = [0x28, 0, 0, 0, 0, 8, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0];
pub const READ_16: [u8; 16] = [0x88, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0];
pub const WRITE_10: [u8; 16] = [0x2a, 0, 0, 0, 0, 8, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0];
pub const WRITE_16: [u8; 16] = [0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0];

/// It is begun, stepped to its operation, and stepped with that one's success.
pub fn body(cdb: [u8; 16]) -> Box<dyn FnMut()> {
    let unit = LogicalUnit::new(UnitOptions::new(crate::null_io::device(0))).expect("a unit");
    let nexus = UnitNexus::new();
    let ports = PortIds {
        target_port_id: [1; 16],
        initiator_port_id: [2; 16],
        relative_target_port: 1,
        addressing: Addressing::Peripheral,
    };
    let mut buffer = vec![0; 4096];
    Box::new(move || {
        let context = Context {
            unit: Some(&unit),
            address: Address::Unit(Lun(0)),
            nexus: Some(&nexus),
            luns: &[],
            ports: &ports,
            peers: &NoPeers,
            read_only: false,
            data_out_len: 4096,
            data_in_len: 4096,
        };
        let mut job = begin(black_box(&cdb), &context).expect("a command");
        let asked = job.step(&context, None, &mut buffer);
        assert!(matches!(black_box(asked), Step::Io { .. }));
        let ended = job.step(&context, Some(Ok(())), &mut buffer);
        assert!(matches!(black_box(ended), Step::Done(Ending::Good { .. })));
    })
}

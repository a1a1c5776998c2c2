//! What must hold for any datagram to the device management agent.

use device_management::wire::{MAD_BYTES, Status};
use device_management::{Directory, Settings, Target};

/// The first byte says how many targets there are; the rest is the datagram.
pub fn run(bytes: &[u8]) {
    let (&count, mad) = bytes.split_first().unwrap_or((&0, &[]));
    let mut directory = Directory::new(Settings {
        service_ids: vec![0x013f_15b3; usize::from(count % 7)],
        send_queue_depth: 128,
        rdma_read_depth: 4,
        send_bytes: 8260,
        rdma_bytes: 1 << 20,
    });
    let target = |number: u8| Target { name: "é".repeat(number.into()), id_ext: number.into(), ioc_guid: !0 };
    directory.set_targets(&(0..count).map(target).collect::<Vec<_>>());
    let answer = match directory.answer(mad) {
        Ok(answer) => answer,
        Err(why) => return assert!(!why.to_string().is_empty()),
    };
    assert_eq!(mad.len(), MAD_BYTES);
    assert_eq!(answer.mad[..4], [1, 6, 1, 0x81]);
    assert_eq!(answer.mad[4..6], (answer.status as u16).to_be_bytes());
    assert_eq!(answer.mad[8..24], mad[8..24], "transaction, attribute and modifier are the request's");
    if answer.status != Status::Good {
        assert_eq!(answer.mad[24..], [0; MAD_BYTES - 24]);
    }
    assert_eq!(directory.answer(&answer.mad).ok(), None, "an answer is not answered");
}

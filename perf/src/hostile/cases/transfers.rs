//! Requests that lie about their memory: what is described is never what is there.

use super::message::{command, descriptor, read_10, with_buffer, write_10};
use super::messages::tag;
use crate::hostile::bench::{Bench, IMMEDIATE_OFFSET, Outcome};

/// Lengths that are off by one, or far off, for eight blocks of 512 bytes.
const LENGTHS: [u32; 12] = [0, 1, 15, 16, 511, 4095, 4096, 4097, 1 << 20, (1 << 20) + 1, 1 << 31, u32::MAX];

/// One descriptor, of any length and at any address.
pub fn direct(bench: &mut Bench) -> Outcome {
    for len in LENGTHS {
        for formats in [0x01, 0x10, 0x11] {
            for ends in [false, true] {
                let memory = bench.memory()?;
                // An address at the end of the 64 bits: where the memory would end there is no address.
                let va = if ends { u64::MAX - 100 } else { memory.addr };
                let rest = descriptor(va, memory.rkey, len).repeat(2);
                let cdb = if formats == 0x10 { write_10(0, 8) } else { read_10(0, 8) };
                let message = with_buffer(command(tag(bench), bench.lun(), &cdb), formats, [0, 0], &rest);
                bench.try_message(&message)?;
            }
        }
    }
    Ok(())
}

/// Tables that are not as long as they say, whose parts are not as long as the whole, or that are not there.
pub fn indirect(bench: &mut Bench) -> Outcome {
    for table_len in [0, 1, 15, 16, 17, 32, 16 * 255, 16 * 4096, u32::MAX] {
        for total in LENGTHS {
            for count in [0, 1, 2, 3, 255] {
                let memory = bench.memory()?;
                let part = |len| descriptor(memory.addr, memory.rkey, len);
                let entry = LENGTHS[bench.random.below(LENGTHS.len() as u64) as usize];
                let rest = [&part(table_len)[..], &total.to_be_bytes(), &part(entry), &part(2048)].concat();
                let message = with_buffer(command(tag(bench), bench.lun(), &read_10(0, 8)), 0x02, [0, count], &rest);
                bench.try_message(&message)?;
            }
        }
    }
    Ok(())
}

/// Immediate data that are longer or shorter than they say, or than what is to be written.
pub fn immediate(bench: &mut Bench) -> Outcome {
    for len in LENGTHS {
        for there in [0, 1, 511, 512, 4096] {
            for blocks in [0, 1, 8, 16] {
                let write = command(tag(bench), bench.lun(), &write_10(0, blocks));
                let mut message = with_buffer(write, 0x30, [0, 0], &len.to_be_bytes());
                message.resize(usize::from(IMMEDIATE_OFFSET) + there, 0x77);
                bench.try_message(&message)?;
            }
        }
    }
    Ok(())
}

/// Every pair of formats, with bytes behind them that fit some.
pub fn formats(bench: &mut Bench) -> Outcome {
    for formats in 0..=255 {
        for parts in [0, 1, 3] {
            let memory = bench.memory()?;
            let rest = descriptor(memory.addr, memory.rkey, 4096).repeat(parts);
            let counts = [bench.random.draw() as u8, bench.random.draw() as u8];
            let message = with_buffer(command(tag(bench), bench.lun(), &read_10(0, 8)), formats, counts, &rest);
            bench.try_message(&message)?;
        }
    }
    Ok(())
}

/// Keys that are none: the fabric refuses the transfer, and the channel ends.
pub fn bogus_keys(bench: &mut Bench) -> Outcome {
    for round in 0..bench.rounds.div_ceil(50) {
        let (key, memory) = (bench.random.draw() as u32, bench.memory()?);
        let va = if round % 2 == 0 { memory.addr } else { bench.random.draw() };
        let (formats, cdb, rest) = match round % 3 {
            0 => (0x01, read_10(0, 8), descriptor(va, key, 4096).to_vec()),
            1 => (0x10, write_10(0, 8), descriptor(va, key, 4096).to_vec()),
            // The table itself is not there.
            _ => (0x02, read_10(0, 8), [&descriptor(va, key, 64)[..], &4096_u32.to_be_bytes()].concat()),
        };
        let message = with_buffer(command(tag(bench), bench.lun(), &cdb), formats, [0, 0], &rest);
        bench.try_message(&message)?;
    }
    Ok(())
}

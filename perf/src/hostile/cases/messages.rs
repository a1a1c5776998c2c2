//! Bytes that are no request, or half of one.

use super::message::{command, descriptor, read_10, with_buffer};
use crate::hostile::bench::{Bench, IMMEDIATE_OFFSET, Outcome};
use crate::random::Xorshift;

/// The longest message that a target of ours takes, and one byte more.
const LONGEST: usize = 8260;

/// Every short length, and some long ones, of zeroes, ones and anything.
pub fn lengths(bench: &mut Bench) -> Outcome {
    let long = [255, 256, 511, 512, 1024, 4095, 4096, LONGEST - 1, LONGEST, LONGEST + 1, LONGEST + 4, 16384];
    for len in (1..=128).chain(long) {
        for fill in [0, 0xff, 0x5a] {
            let mut message = vec![fill; len];
            if fill == 0x5a {
                message.iter_mut().for_each(|byte| *byte = bench.random.draw() as u8);
                harmless(&mut message, bench.lun());
            }
            bench.try_message(&message)?;
        }
    }
    Ok(())
}

/// Every opcode, also those that only a target sends.
pub fn opcodes(bench: &mut Bench) -> Outcome {
    for opcode in 0..=255_u8 {
        for len in [16, 48, 64] {
            let mut message = command(tag(bench), bench.lun(), &[0; 6]);
            message[0] = opcode;
            message.resize(len, 0);
            bench.try_message(&message)?;
        }
    }
    Ok(())
}

/// Good requests, cut off at every byte.
pub fn cut(bench: &mut Bench) -> Outcome {
    for kind in 0..KINDS {
        for len in 1..good(bench, kind)?.len() {
            let message = good(bench, kind)?;
            bench.try_message(&message[..len])?;
        }
    }
    Ok(())
}

/// Good requests with some bytes changed.
pub fn mutated(bench: &mut Bench) -> Outcome {
    for _ in 0..bench.rounds {
        let kind = bench.random.below(KINDS);
        let mut message = good(bench, kind)?;
        mutate(&mut message, &mut bench.random);
        harmless(&mut message, bench.lun());
        bench.try_message(&message)?;
    }
    Ok(())
}

/// Anything, with an opcode that an initiator may send.
pub fn random(bench: &mut Bench) -> Outcome {
    const OPCODES: [u8; 5] = [0x01, 0x02, 0x03, 0x41, 0x42];
    for _ in 0..bench.rounds {
        let most = if bench.random.below(4) == 0 { LONGEST as u64 } else { 200 };
        let len = 1 + bench.random.below(most) as usize;
        let mut message = vec![0; len];
        message.iter_mut().for_each(|byte| *byte = bench.random.draw() as u8);
        message[0] = OPCODES[bench.random.below(5) as usize];
        harmless(&mut message, bench.lun());
        bench.try_message(&message)?;
    }
    Ok(())
}

/// Every function, of units and tasks that there are and that there are not, and many at once.
pub fn task_management(bench: &mut Bench) -> Outcome {
    let nowhere = [0xff; 8];
    for function in 0..=255 {
        for lun in [bench.lun(), nowhere] {
            let message = super::message::task_management(tag(bench), lun, function, tag(bench));
            bench.try_message(&message)?;
        }
    }
    for function in [0x01, 0x02, 0x04, 0x08, 0x40] {
        for _ in 0..bench.rounds.div_ceil(200) {
            let lun = bench.lun();
            let messages: Vec<_> =
                (0..6).map(|_| super::message::task_management(tag(bench), lun, function, tag(bench))).collect();
            bench.try_messages(&messages.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        }
    }
    Ok(())
}

const KINDS: u64 = 7;

/// A request of each kind, good in itself.
fn good(bench: &mut Bench, kind: u64) -> Result<Vec<u8>, String> {
    let (tag, lun, memory) = (tag(bench), bench.lun(), bench.memory()?);
    let read = command(tag, lun, &read_10(0, 8));
    let direct = descriptor(memory.addr, memory.rkey, 4096);
    Ok(match kind {
        0 => command(tag, lun, &[0; 6]),
        1 => with_buffer(command(tag, lun, &[0x12, 0, 0, 0, 96, 0]), 0x01, [0, 0], &direct),
        2 => with_buffer(read, 0x01, [0, 0], &direct),
        3 => {
            let table = descriptor(memory.addr, memory.rkey, 32);
            let halves =
                [descriptor(memory.addr, memory.rkey, 2048), descriptor(memory.addr + 2048, memory.rkey, 2048)];
            let rest = [&table[..], &4096_u32.to_be_bytes(), &halves[0], &halves[1]].concat();
            with_buffer(read, 0x02, [0, 2], &rest)
        }
        4 => super::message::task_management(tag, lun, 0x01, tag),
        5 => {
            let write = command(tag, lun, &super::message::write_10(0, 1));
            let mut message = with_buffer(write, 0x30, [0, 0], &512_u32.to_be_bytes());
            message.resize(usize::from(IMMEDIATE_OFFSET) + 512, 0x77);
            message
        }
        // SRP_CRED_RSP to nothing.
        _ => [&[0x41, 0, 0, 0, 0, 0, 0, 0][..], &tag].concat(),
    })
}

fn mutate(message: &mut Vec<u8>, random: &mut Xorshift) {
    for _ in 0..=random.below(6) {
        let at = random.below(message.len() as u64) as usize;
        message[at] = match random.below(4) {
            0 => 0,
            1 => 0xff,
            2 => message[at] ^ 1 << random.below(8),
            _ => random.draw() as u8,
        };
    }
    match random.below(8) {
        0 => message.truncate(1 + random.below(message.len() as u64) as usize),
        1 => message.resize(message.len() + random.below(256) as usize, 0),
        _ => {}
    }
}

/// What is done is done to our unit, and is not one of the commands that take long, or take the unit from others: only what is wrong with
/// the message is to be tried.
fn harmless(message: &mut [u8], lun: [u8; 8]) {
    if let Some(field) = message.get_mut(20..28) {
        field.copy_from_slice(&lun);
    }
    const COMMANDS: [u8; 8] = [0x00, 0x03, 0x12, 0x25, 0x28, 0x2a, 0x88, 0xa0];
    if message[0] == 0x02
        && let Some(opcode) = message.get_mut(32)
        && !COMMANDS.contains(opcode)
    {
        *opcode = COMMANDS[usize::from(*opcode) % COMMANDS.len()];
    }
}

/// A tag that was not used before.
pub(super) fn tag(bench: &mut Bench) -> [u8; 8] {
    bench.number().to_be_bytes()
}

//! Requests that are good each by itself, from who keeps none of the rules between them.

use std::time::Duration;

use super::message::{command, descriptor, read_10, with_buffer};
use super::messages::tag;
use crate::hostile::bench::{Bench, Outcome};
use crate::hostile::peer::{Heard, SENDS};

/// One tag for several commands at once, and for commands and task management.
pub fn tag_reuse(bench: &mut Bench) -> Outcome {
    for round in 0..bench.rounds.div_ceil(20) {
        let (same, memory, lun) = (tag(bench), bench.memory()?, bench.lun());
        let data = descriptor(memory.addr, memory.rkey, 4096);
        let read = with_buffer(command(same, lun, &read_10(0, 8)), 0x01, [0, 0], &data);
        let function = super::message::task_management(same, lun, [0x01, 0x02, 0x08][round as usize % 3], same);
        let messages: [&[u8]; 4] = [&read, &read, if round % 2 == 0 { &read } else { &function }, &read];
        bench.try_messages(&messages)?;
    }
    Ok(())
}

/// More requests at once than there are credits for, as many as the queue pair takes.
pub fn credit_overrun(bench: &mut Bench) -> Outcome {
    for _ in 0..bench.rounds.div_ceil(500) {
        let wire = bench.log_in()?;
        let lun = bench.lun();
        for _ in 0..SENDS {
            bench.tally.inputs += 1;
            let message = command(tag(bench), lun, &[0; 6]);
            bench.peer.send(wire, &message);
        }
        // All are answered, or the channel ends.
        for _ in 0..SENDS {
            match bench.peer.next(wire) {
                Heard::Message(_) => bench.tally.answered += 1,
                Heard::End => {
                    bench.tally.ended += 1;
                    break;
                }
                Heard::Silence => return Err("requests beyond the credits: neither answered nor ended".into()),
            }
        }
        bench.peer.close(wire);
    }
    Ok(())
}

/// Commands of somebody who takes no answer.
pub fn stops_reading(bench: &mut Bench) -> Outcome {
    for _ in 0..4 {
        let request = bench.request();
        let wire = bench.log_in_as(&request, false)?;
        let lun = bench.lun();
        for _ in 0..64 {
            bench.tally.inputs += 1;
            let message = command(tag(bench), lun, &[0; 6]);
            bench.peer.send(wire, &message);
        }
        bench.peer.poll();
        // Others are served meanwhile.
        bench.witness()?;
        bench.peer.sleep(Duration::from_secs(1));
        bench.witness()?;
        bench.peer.close(wire);
        bench.tally.ended += 1;
    }
    Ok(())
}

/// Commands of somebody who is gone before they are done, also before he was let in.
pub fn leaves_in_the_middle(bench: &mut Bench) -> Outcome {
    for round in 0..bench.rounds.div_ceil(40) {
        if round % 5 == 4 {
            let request = bench.request().emit_rdma_cm();
            let wire = bench.connect(&request, true)?;
            bench.peer.poll();
            bench.peer.close(wire);
        } else {
            let (wire, memory, lun) = (bench.wire()?, bench.memory()?, bench.lun());
            let data = descriptor(memory.addr, memory.rkey, 65536);
            for _ in 0..round % 8 {
                let message = with_buffer(command(tag(bench), lun, &read_10(0, 128)), 0x01, [0, 0], &data);
                bench.peer.send(wire, &message);
            }
            for _ in 0..round % 7 {
                bench.peer.poll();
            }
            bench.leave();
        }
        bench.tally.inputs += 1;
        bench.tally.ended += 1;
    }
    Ok(())
}

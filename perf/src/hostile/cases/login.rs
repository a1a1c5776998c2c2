//! Logins with everything wrong that can be, and too many of them.

use std::time::{Duration, Instant};

use transport_srp::wire::login::MultiChannelAction;
use transport_srp::wire::{LoginRequest, LoginResponse, PortId};

use crate::hostile::bench::{Bench, Outcome, said};
use crate::hostile::peer::{Answer, CONNECTIONS, PRIVATE_DATA_BYTES, Wire};

/// One field wrong at a time.
pub fn fields(bench: &mut Bench) -> Outcome {
    let good = bench.request();
    let wrong = |what, request: LoginRequest| (what, request.emit_rdma_cm());
    let stranger = PortId::new(0xdead, 0xbeef);
    let mut requests = vec![
        wrong("a target that is none", LoginRequest { target_port_id: stranger, ..good }),
        wrong("no buffer formats", LoginRequest { buffer_formats: 0, ..good }),
        wrong("buffer formats that do not exist", LoginRequest { buffer_formats: 0xfff9, ..good }),
    ];
    for len in [0, 1, 63, 8261, 65536, u32::MAX] {
        requests.push(wrong("an IU length out of range", LoginRequest { max_it_iu_len: len, ..good }));
    }
    for action in [2, 3] {
        let multi_channel = MultiChannelAction::Reserved(action);
        requests.push(wrong("a reserved multi-channel action", LoginRequest { multi_channel, ..good }));
    }
    for opcode in 1..=255 {
        let mut bytes = good.emit_rdma_cm();
        bytes[11] = opcode; // RDMA/CM's layout
        requests.push(("an opcode that is none of a login", bytes));
    }
    requests.iter().try_for_each(|(what, request)| bench.must_be_refused(request, what))
}

/// The request cut off: the connection manager pads what is missing.
pub fn lengths(bench: &mut Bench) -> Outcome {
    for len in 0..PRIVATE_DATA_BYTES {
        let request = bench.request().emit_rdma_cm();
        // From 48 on only the place of immediate data is missing, as in the oldest requests.
        match len {
            0..48 => bench.must_be_refused(&request[..len], &format!("a login of {len} bytes"))?,
            _ => any_answer(bench, &request[..len])?,
        }
    }
    Ok(())
}

/// Bytes at random, and good requests with bytes at random in them.
pub fn random(bench: &mut Bench) -> Outcome {
    for _ in 0..bench.rounds.div_ceil(8) {
        let mut bytes = bench.request().emit_rdma_cm();
        match bench.random.below(2) {
            0 => bytes.iter_mut().for_each(|byte| *byte = bench.random.draw() as u8),
            _ => {
                for _ in 0..=bench.random.below(4) {
                    let at = bench.random.below(bytes.len() as u64) as usize;
                    bytes[at] = bench.random.draw() as u8;
                }
            }
        }
        any_answer(bench, &bytes)?;
    }
    Ok(())
}

/// More than four times as many as a target remembers.
const REQUESTS_NEVER_COMPLETED: u32 = 1200;

/// A login that may be good or not must be answered.
fn any_answer(bench: &mut Bench, request: &[u8]) -> Outcome {
    bench.tally.inputs += 1;
    let wire = bench.connect(request, true)?;
    let answer = bench.peer.answer(wire);
    bench.peer.close(wire);
    match &answer {
        Answer::Accepted(private_data) => {
            LoginResponse::parse(private_data).map_err(|error| format!("SRP_LOGIN_RSP: {error}"))?;
            bench.tally.answered += 1;
        }
        Answer::Refused(..) => bench.tally.refused += 1,
        Answer::Ended => return Err(format!("{} to {request:02x?}", said(&answer))),
    }
    Ok(())
}

/// As many logins as can be, of initiators that nobody knows: some are let in and leave at once.
pub fn storm(bench: &mut Bench) -> Outcome {
    storm_of(bench, |bench| bench.request())
}

/// The same of one initiator, who ends his own session with each.
pub fn again(bench: &mut Bench) -> Outcome {
    let request = bench.request();
    storm_of(bench, |_| request)
}

fn storm_of(bench: &mut Bench, mut request: impl FnMut(&mut Bench) -> LoginRequest) -> Outcome {
    let (started, logins) = (Instant::now(), bench.logins);
    let mut open: Vec<(Wire, Instant)> = Vec::new();
    let (mut asked, mut answered) = (0, 0);
    while asked < logins || !open.is_empty() {
        while asked < logins && open.len() < CONNECTIONS / 2 {
            let request = request(bench).emit_rdma_cm();
            open.push((bench.connect(&request, true)?, Instant::now()));
            asked += 1;
        }
        let mut still = Vec::new();
        for (wire, since) in open.drain(..) {
            match bench.peer.try_answer(wire) {
                None if since.elapsed() < Duration::from_secs(60) => {
                    still.push((wire, since));
                    continue;
                }
                // An initiator that comes again is refused, or not answered, while a newer request of his is there.
                None | Some(Answer::Ended) => bench.tally.ended += 1,
                Some(Answer::Accepted(_)) => bench.tally.answered += 1,
                Some(Answer::Refused(..)) => bench.tally.refused += 1,
            }
            answered += 1;
            bench.peer.close(wire);
        }
        open = still;
    }
    bench.tally.inputs += u64::from(asked);
    let rate = f64::from(answered) / started.elapsed().as_secs_f64();
    bench.tally.note = format!("{rate:.0} logins a second");
    Ok(())
}

/// Requests whose asker does not care for the answer.
pub fn half_open(bench: &mut Bench) -> Outcome {
    let mut wires = Vec::new();
    for _ in 0..CONNECTIONS / 2 {
        let request = bench.request().emit_rdma_cm();
        wires.push(bench.connect(&request, true)?);
    }
    bench.tally.inputs += wires.len() as u64;
    bench.peer.poll();
    bench.peer.sleep(Duration::from_secs(7));
    for wire in wires {
        match bench.peer.answer(wire) {
            Answer::Accepted(_) => bench.tally.answered += 1,
            Answer::Refused(..) => bench.tally.refused += 1,
            Answer::Ended => bench.tally.ended += 1,
        }
        bench.peer.close(wire);
    }
    Ok(())
}

/// Requests that are not completed, more than a target can wait for, of somebody who hears nothing. While they are open, another is let in.
pub fn never_completed(bench: &mut Bench) -> Outcome {
    let Some(mut stranger) = bench.stranger() else {
        bench.tally.note = "over RoCE on loopback alone: it takes an address of its own".into();
        return Ok(());
    };
    for _ in 0..REQUESTS_NEVER_COMPLETED {
        let request = bench.request().emit_rdma_cm();
        stranger.ask(&request);
        bench.tally.inputs += 1;
    }
    let outcome = bench.witness();
    stranger.withdraw();
    outcome
}

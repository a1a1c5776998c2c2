//! Commands at random over the whole target, with a data buffer in any direction and of any length. The initiator checks what is true of
//! every answer; here, residual counts are held against each other: what a command moves does not hang on the buffer's length.

use fabric::sim::SimOptions;

use super::*;
use crate::testing::wire::Residual;
use crate::testing::{Answer, Data, Outcome};

const BLOCKS: u64 = 2048;
/// More than any command moves.
const AMPLE: usize = (1 << 20) + 512;

#[test]
fn whatever_the_command_there_is_an_answer_and_its_residual_counts_are_true() {
    const COMMANDS: u64 = 700;
    let seeds = match std::env::var("SRP_RANDOM_SEED") {
        Ok(seed) => seed.parse().map(|seed: u64| seed..seed + 1).expect("a number"),
        Err(_) => 1..1 + COMMANDS,
    };
    let mut rig = Rig::new(77, 1, SimOptions::default(), 16);
    rig.export(&malloc("ram", BLOCKS));
    let mut initiator = rig.initiator(1);
    let channel = rig.login(&mut initiator, MultiChannel::Single);
    let (mut good, mut counted) = (0, 0);
    for seed in seeds {
        let bytes = random_bytes(seed);
        let mut cdb = scsi::script::cdb(&bytes[24..], BLOCKS);
        cdb.resize(if cdb.len() > 16 { 32 } else { cdb.len().max(6) }, 0);
        let few = usize::from(bytes[0]) * usize::from(bytes[1]);
        let request = |len: usize| {
            let request = Request::new(lun(u16::from(bytes[3].is_multiple_of(16))), cdb.clone());
            match bytes[2] % 4 {
                0 => request.data_out(bytes[4..].iter().copied().cycle().take(len).collect::<Vec<u8>>()),
                1 if bytes[3].is_multiple_of(4) => request,
                _ => request.data_in(len as u32),
            }
        };
        let mut run = |len: usize| {
            let request = request(len);
            match rig.execute(&mut initiator, channel, &request) {
                Outcome::Answered(answer) => moved(&request, &answer),
                other => panic!("SRP_RANDOM_SEED={seed}: {other:?} for {cdb:02x?}"),
            }
        };
        let (ample, few) = (run(AMPLE), run(few));
        good += u32::from(ample.is_some());
        if let (Some(ample), Some(few)) = (ample, few) {
            assert_eq!(ample, few, "bytes moved; SRP_RANDOM_SEED={seed}, {cdb:02x?}");
            counted += 1;
        }
    }
    if std::env::var_os("SRP_RANDOM_SEED").is_none() {
        assert!(good > 60 && counted > 60, "only {good} commands succeeded, {counted} with both buffers");
    }
    assert_eq!(rig.network.violations(), vec![]);
    initiator.disconnect(channel);
    rig.check_nothing_leaked();
}

/// Bytes that a successful command would have moved, had there been room, by its answer: to and from the initiator.
fn moved(request: &Request, answer: &Answer) -> Option<(u64, u64)> {
    let count = |len: usize, residual: Residual| match residual {
        Residual::None => len as u64,
        Residual::Under(unused) => len as u64 - u64::from(unused),
        Residual::Over(missing) => len as u64 + u64::from(missing),
    };
    let (len_out, len_in) = match &request.data {
        Data::None => (0, 0),
        Data::In { len, .. } => (0, *len as usize),
        Data::Out { bytes, .. } => (bytes.len(), 0),
    };
    (answer.status == 0).then(|| (count(len_out, answer.residual_out), count(len_in, answer.residual_in)))
}

/// Marsaglia's xorshift.
fn random_bytes(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56
    };
    (0..160).map(|_| next() as u8).collect()
}

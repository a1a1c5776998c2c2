//! A run from start to end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reactor::{IdleMode, Instant};
use scsi::{Addressing, Lun};
use transport_srp::wire::PortId;

use crate::environment::Environment;
use crate::initiator::{Capacity, Login};
use crate::load::{self, Load};
use crate::options::Options;
use crate::random::scramble;
use crate::report::{self, Results};
use crate::seconds::Seconds;
use crate::session::{Session, SessionOptions};
use crate::workload::{self, Workload};

/// What idle cores do when they may sleep: the same as the target's.
const ADAPTIVE: IdleMode =
    IdleMode::Adaptive { spin: Duration::from_micros(300), max_sleep: Duration::from_micros(200) };

/// Does what the options say. Failed I/Os and comparisons are in the results.
///
/// # Errors
/// The options do not fit together, or there was no load at all: no memory, no login, no such unit.
pub fn run(options: &Options) -> anyhow::Result<Results> {
    options.check()?;
    let environment = Environment::current();
    let seed = options.seed.unwrap_or_else(fresh_number);
    let mut session = Session::start(session_options(options)?)?;
    let results = measure(options, environment, seed, &mut session);
    session.close();
    results
}

/// The session that the options are about.
///
/// # Errors
/// There is no address of ours to use.
pub fn session_options(options: &Options) -> anyhow::Result<SessionOptions> {
    // Of its own for each process: a second login with the same identifier would end the first one's channels.
    let initiator_port = PortId::new(0, fresh_number());
    Ok(SessionOptions {
        way: options.roce_io,
        local: options.local()?,
        target: options.target,
        login: Login { initiator_port, target_port: options.target_port(), immediate: !options.no_immediate },
        lun: Lun(options.lun).to_wire(Addressing::Peripheral),
        cores: options.mask.cores().to_vec(),
        idle: if options.adaptive { ADAPTIVE } else { IdleMode::Poll },
        channels: options.channels(),
        depth: options.depth,
        io_bytes: options.io_size.0,
        pieces: options.indirect.map_or(1, usize::from),
    })
}

fn measure(options: &Options, environment: Environment, seed: u64, session: &mut Session) -> anyhow::Result<Results> {
    let terms = session.login()?;
    let capacity = session.probe()?;
    options.check_against(capacity)?;
    let start = session.now();
    let loads = (0..options.channels()).map(|number| load(options, seed, capacity, start, number)).collect();
    let mut seconds = Seconds::new();
    let (tally, broken) = session.run(loads, &mut second_lines(options, start, &mut seconds));
    let measured = session.now().since(start.plus(options.warmup)).min(options.time());
    let immediate = terms.immediate_offset.is_some();
    let (options, seconds) = (options.clone(), seconds.samples());
    Ok(Results { options, environment, seed, capacity, immediate, measured, tally, seconds, broken })
}

/// The load of one channel.
fn load(options: &Options, seed: u64, capacity: Capacity, start: Instant, number: u32) -> Load {
    let block_bytes = capacity.block_bytes;
    let io_blocks = options.io_size.0 / block_bytes;
    let from = start.plus(options.warmup);
    let until = from.plus(options.time());
    let plan = load::Plan {
        io_blocks,
        block_bytes,
        seed,
        from_ns: from.0,
        until_ns: until.0,
        ios: options.ios.unwrap_or(u64::MAX),
    };
    let positions = capacity.blocks / u64::from(io_blocks);
    let range = workload::share(positions, number, options.channels(), options.own_parts());
    let own_seed = scramble(seed ^ u64::from(number));
    let workload = if options.verify {
        Workload::verifying(options.mix(), range, own_seed, options.depth)
    } else {
        Workload::new(options.mix(), range, own_seed)
    };
    Load::new(plan, workload, options.depth as usize)
}

/// Notes the I/Os of each second as it ends, and tells them if that is wanted.
fn second_lines(options: &Options, start: Instant, seconds: &mut Seconds) -> impl FnMut(Instant, u64) {
    let (wanted, io_bytes) = (options.per_second, options.io_size.0);
    move |now, completed| {
        let elapsed = now.since(start);
        if seconds.is_due(elapsed.as_nanos() as u64) {
            let ios = seconds.note(elapsed.as_nanos() as u64, completed);
            if wanted {
                eprintln!("{}", report::second_line(elapsed, ios, io_bytes));
            }
        }
    }
}

/// A number that no other run has.
pub(crate) fn fresh_number() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    scramble(time.as_nanos() as u64 ^ u64::from(std::process::id()).rotate_left(40))
}

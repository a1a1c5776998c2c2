//! A run from start to end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reactor::{IdleMode, Instant};
use scsi::{Addressing, Lun};
use transport_srp::wire::PortId;

use crate::environment::Environment;
use crate::initiator::{Capacity, Login};
use crate::load::{self, Load};
use crate::options::{Options, Target};
use crate::random::scramble;
use crate::report::{self, Results, TargetResults};
use crate::seconds::Seconds;
use crate::session::{Session, SessionOptions, TargetOptions};
use crate::tally::Tally;
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

/// The sessions that the options are about.
///
/// # Errors
/// There is no address of ours to use.
pub fn session_options(options: &Options) -> anyhow::Result<SessionOptions> {
    // Of its own for each process: a second login with the same identifier would end the first one's channels.
    let initiator_port = PortId::new(0, fresh_number());
    let target = |Target { address, port, lun }: Target| {
        Ok(TargetOptions {
            local: options.local(address)?,
            address,
            login: Login { initiator_port, target_port: port, immediate: options.wants_immediate() },
            lun: Lun(lun).to_wire(Addressing::Peripheral),
        })
    };
    Ok(SessionOptions {
        fabric: options.fabric(),
        targets: options.targets()?.into_iter().map(target).collect::<anyhow::Result<_>>()?,
        cores: options.mask.cores().to_vec(),
        idle: if options.adaptive { ADAPTIVE } else { IdleMode::Poll },
        channels: options.channels(),
        depth: options.depth,
        io_bytes: options.io_size.0,
        form: options.form(),
    })
}

fn measure(options: &Options, environment: Environment, seed: u64, session: &mut Session) -> anyhow::Result<Results> {
    let terms = session.login()?;
    terms.iter().try_for_each(|terms| options.check_agreed(terms))?;
    let capacities = session.probe()?;
    let targets = options.targets()?;
    let dealing = Dealing::new(options.channels(), &targets);
    for (number, (target, &capacity)) in targets.iter().zip(&capacities).enumerate() {
        options.check_against(target.lun, capacity, dealing.share_of(number as u32).1)?;
    }
    let start = session.now();
    let load = |number| {
        let target = dealing.target_of(number);
        load(options, seed, capacities[target], start, number, dealing.share_of(number))
    };
    let loads = (0..options.channels()).map(load).collect();
    let mut seconds = Seconds::new();
    let (tallies, broken) = session.run(loads, &mut second_lines(options, start, &mut seconds));
    let measured = session.now().since(start.plus(options.warmup)).min(options.time());
    let mut tally = Tally::new();
    tallies.iter().for_each(|one| tally.add(one));
    let each = targets.into_iter().zip(terms).zip(capacities).zip(tallies);
    let targets = each.map(|(((target, terms), capacity), tally)| {
        let immediate = terms.immediate_offset.is_some();
        TargetResults { target, capacity, immediate, tally }
    });
    let (options, targets, seconds) = (options.clone(), targets.collect(), seconds.samples());
    Ok(Results { options, environment, seed, targets, measured, tally, seconds, broken })
}

/// Which channel uses what: targets take turns, and channels that use the same unit share it.
struct Dealing {
    channels: u32,
    /// By target: the first one with the same unit, be it by another address.
    units: Vec<usize>,
}

impl Dealing {
    fn new(channels: u32, targets: &[Target]) -> Dealing {
        let is_same = |a: &Target, b: &Target| (a.port, a.lun) == (b.port, b.lun);
        let first = |target| targets.iter().position(|other| is_same(other, target)).expect("itself, at the latest");
        Dealing { channels, units: targets.iter().map(first).collect() }
    }

    fn target_of(&self, channel: u32) -> usize {
        channel as usize % self.units.len()
    }

    /// The how manyth of its unit's channels it is, and how many these are.
    fn share_of(&self, channel: u32) -> (u32, u32) {
        let unit = |channel| self.units[self.target_of(channel)];
        let count =
            |channels: std::ops::Range<u32>| channels.filter(|&other| unit(other) == unit(channel)).count() as u32;
        (count(0..channel), count(0..self.channels))
    }
}

/// The load of one channel.
fn load(options: &Options, seed: u64, capacity: Capacity, start: Instant, number: u32, share: (u32, u32)) -> Load {
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
        pace: options.rate.map(|iops| load::Pace::dealt(iops, number, options.channels(), start.0)),
    };
    let positions = capacity.blocks / u64::from(io_blocks);
    let range = workload::share(positions, share.0, share.1, options.own_parts());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_of_one_unit_share_it_whatever_address_leads_there() {
        let target =
            |last, port, lun| Target { address: ([10, 0, 0, last], 5555).into(), port: PortId::new(port, 0), lun };
        let targets = [target(1, 7, 0), target(2, 7, 0), target(3, 7, 1)];
        let dealing = Dealing::new(7, &targets);
        let dealt: Vec<_> = (0..7).map(|channel| (dealing.target_of(channel), dealing.share_of(channel))).collect();
        let shared = |number| (number, 5);
        assert_eq!(
            dealt,
            [(0, shared(0)), (1, shared(1)), (2, (0, 2)), (0, shared(2)), (1, shared(3)), (2, (1, 2)), (0, shared(4)),]
        );
    }
}

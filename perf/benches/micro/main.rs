//! Micro-benchmarks: pieces of a command's path, and whole commands over the simulated fabric.
//!
//! ```text
//! cargo bench -p srpt-perf --bench micro [FILTER]    times, by criterion
//! ./perf/compare/counts.sh                           instructions, by valgrind, compared with perf/benches/instructions.txt
//! micro --count BODY CALLS                           calls a body so often, for valgrind; `micro --list` names the bodies
//! ```
//!
//! Both measure the same bodies, one file for each piece, listed in [`BODIES`]. To add one, write it and give it a line there, then
//! `./perf/compare/counts.sh --update`.

#![forbid(unsafe_code)]

mod command;
mod execute;
mod mailbox;
mod null_io;
mod parse;
mod plan;
mod pool;
mod respond;

use std::process::ExitCode;

use command::Scale;

use criterion::{Criterion, Throughput};

/// One thing that is measured.
struct Body {
    /// What it is, in lower-case words.
    name: &'static str,
    /// Prepares it and returns what is measured.
    prepare: fn() -> Box<dyn FnMut()>,
    /// Operations that a call of it does.
    operations: u32,
    /// Which instructions count.
    counts: Counts,
}

/// Which instructions of a body count.
#[derive(Clone, Copy)]
enum Counts {
    /// All of them, and the five or so of the call itself.
    All,
    /// Those of the target's poll group, with all that it calls.
    PollGroup,
}

impl Body {
    const fn new(name: &'static str, prepare: fn() -> Box<dyn FnMut()>) -> Body {
        Body { name, prepare, operations: 1, counts: Counts::All }
    }

    const fn at_poll_group(name: &'static str, operations: u32, prepare: fn() -> Box<dyn FnMut()>) -> Body {
        Body { name, prepare, operations, counts: Counts::PollGroup }
    }
}

const BODIES: &[Body] = &[
    Body::new("nothing", || Box::new(|| ())),
    Body::new("parse direct", parse::direct),
    Body::new("parse indirect", parse::indirect),
    Body::new("parse immediate", parse::immediate),
    Body::new("plan direct", plan::direct),
    Body::new("plan indirect", plan::indirect),
    Body::new("execute read 10", || execute::body(execute::READ_10)),
    Body::new("execute read 16", || execute::body(execute::READ_16)),
    Body::new("execute write 10", || execute::body(execute::WRITE_10)),
    Body::new("execute write 16", || execute::body(execute::WRITE_16)),
    Body::new("respond good", respond::good),
    Body::new("respond sense", respond::sense),
    Body::new("mailbox message", mailbox::message),
    Body::new("mailbox empty", mailbox::empty),
    Body::new("pool get and put", pool::get_and_put),
    Body::new("null write", null_io::write),
    Body::new("null read", null_io::read),
    Body::at_poll_group("round without work", 1, command::round),
    Body::at_poll_group("command read depth 1", 1, || command::body(command::read(), 1)),
    Body::at_poll_group("command read depth 32", 32, || command::body(command::read(), 32)),
    Body::at_poll_group("command write depth 1", 1, || command::body(command::write(), 1)),
    Body::at_poll_group("command write depth 32", 32, || command::body(command::write(), 32)),
    Body::at_poll_group("fetched write depth 32", 32, || command::body(command::fetched_write(), 32)),
    Body::at_poll_group("read 256 sessions", 32, || command::scaled(Scale { sessions: 256, ..Scale::default() })),
    Body::at_poll_group("read 64 channels", 32, || command::scaled(Scale { channels: 64, ..Scale::default() })),
    Body::at_poll_group("read 1024 luns", 32, || command::scaled(Scale { luns: 1024, ..Scale::default() })),
    Body::at_poll_group("read 2 reactors", 64, || {
        command::scaled(Scale { reactors: 2, channels: 2, ..Scale::default() })
    }),
];

/// Calls before the measured ones: memory is touched, queues have the room that they need.
const WARM_UP_CALLS: u32 = 100;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["--list"] => BODIES.iter().for_each(|body| match body.counts {
            Counts::All => println!("all {} {}", body.operations, body.name),
            Counts::PollGroup => println!("poll-group {} {}", body.operations, body.name),
        }),
        ["--count", name, calls] => {
            let body = BODIES.iter().find(|body| body.name == *name);
            let (Some(body), Ok(calls)) = (body, calls.parse()) else {
                eprintln!("usage: micro --count BODY CALLS, where BODY is one of those that --list names");
                return ExitCode::FAILURE;
            };
            let mut call = (body.prepare)();
            warm_up(&mut *call, WARM_UP_CALLS);
            counted(&mut *call, calls);
        }
        _ => times(),
    }
    ExitCode::SUCCESS
}

#[inline(never)]
fn warm_up(call: &mut dyn FnMut(), calls: u32) {
    (0..calls).for_each(|_| call());
}

/// Valgrind counts from when this is entered until it is left; it knows the function by its name.
#[inline(never)]
fn counted(call: &mut dyn FnMut(), calls: u32) {
    (0..calls).for_each(|_| call());
}

fn times() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("micro");
    for body in BODIES {
        group.throughput(Throughput::Elements(body.operations.into()));
        group.bench_function(body.name, |bencher| bencher.iter((body.prepare)()));
    }
    group.finish();
    criterion.final_summary();
}

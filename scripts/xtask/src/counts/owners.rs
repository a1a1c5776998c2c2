//! Whose the instructions of a profile are.
//!
//! An instruction belongs to the source file that it was written in, also where the compiler put it into another function: debug
//! information knows all functions that were inlined at an address, and the innermost of them that is the project's has it. What
//! is nobody's (the standard library, the C library, crates of others) belongs to whoever called it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::callgrind::{Function, Profile};

/// Where the code of the simulated fabric is.
const SIMULATED_FABRIC: &str = "lib/fabric/src/sim/";
/// The crate whose null device clears the buffers of reads.
const NULL_DEVICE: &str = "bdev";
/// Where the benchmark itself is: around a call of what is counted, valgrind counts a few instructions of the caller.
const BENCHMARK: &str = "perf/";

/// A part of the instructions.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Part {
    /// Of a crate, by its folder.
    Crate(String),
    /// `memcpy`, and all that the C library has in its place, called by any crate: values that the compiler does not move by itself.
    Moves,
    /// `memset` of a read's buffer.
    Clearing,
    SimulatedFabric,
    Benchmark,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Crate(folder) => f.write_str(folder),
            Part::Moves => f.write_str("their calls of memcpy"),
            Part::Clearing => f.write_str("clearing of read buffers"),
            Part::SimulatedFabric => f.write_str("simulated fabric"),
            Part::Benchmark => f.write_str("benchmark"),
        }
    }
}

/// How many instructions each part has.
#[derive(Default, Debug)]
pub struct Shares {
    pub parts: BTreeMap<Part, u64>,
}

impl Shares {
    pub fn total(&self) -> u64 {
        self.parts.values().sum()
    }

    /// What the target itself takes.
    pub fn target(&self) -> u64 {
        self.parts.iter().filter(|(part, _)| matches!(part, Part::Crate(_) | Part::Moves)).map(|(_, count)| count).sum()
    }
}

/// Knows who wrote what.
pub struct Owners {
    pub root: PathBuf,
    /// Folders of the project's crates, relative to the root.
    pub crates: Vec<String>,
    /// The program that was profiled.
    pub program: PathBuf,
}

impl Owners {
    pub fn shares(&self, profile: &Profile) -> anyhow::Result<Shares> {
        let addresses: BTreeSet<u64> = profile
            .functions
            .iter()
            .filter(|(function, _)| function.object == self.program.to_string_lossy())
            .flat_map(|(_, costs)| costs.own.keys().copied().chain(costs.calls.iter().map(|call| call.from)))
            .collect();
        let owned = self.parse_frames(&self.frames(&addresses)?);
        let shares = Attribution::new(profile, &owned, &self.program.to_string_lossy()).shares();
        let (total, of_all) = (profile.total(), shares.total());
        // Rounding of shares of shared functions.
        ensure!(total.abs_diff(of_all) <= total / 1000, "{of_all} of {total} instructions have an owner");
        Ok(shares)
    }

    /// What addr2line (binutils, which come with every linker) says: an address, then a line for each function that is inlined there,
    /// innermost first.
    fn frames(&self, addresses: &BTreeSet<u64>) -> anyhow::Result<String> {
        let mut addr2line = Command::new("addr2line");
        addr2line.args(["--addresses", "--inlines", "--exe"]).arg(&self.program);
        let mut child = addr2line
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("addr2line (Debian: apt install binutils)")?;
        let mut questions = child.stdin.take().context("addr2line takes no addresses")?;
        let text: String = addresses.iter().map(|address| format!("{address:#x}\n")).collect();
        let asking = std::thread::spawn(move || questions.write_all(text.as_bytes()));
        let output = child.wait_with_output().context("addr2line")?;
        ensure!(output.status.success() && asking.join().is_ok_and(|asked| asked.is_ok()), "addr2line failed");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn parse_frames(&self, text: &str) -> BTreeMap<u64, Part> {
        let mut owned = BTreeMap::new();
        let mut address = 0;
        for line in text.lines() {
            if let Some(hexadecimal) = line.strip_prefix("0x") {
                address = u64::from_str_radix(hexadecimal, 16).unwrap_or(0);
            } else if let Some(part) = self.part_of(line) {
                owned.entry(address).or_insert(part);
            }
        }
        owned
    }

    /// Whose a source file is; `None` if it is not the project's.
    fn part_of(&self, file: &str) -> Option<Part> {
        let file = file.strip_prefix(&*self.root.to_string_lossy())?.strip_prefix('/')?;
        if file.starts_with(SIMULATED_FABRIC) {
            return Some(Part::SimulatedFabric);
        }
        if file.starts_with(BENCHMARK) {
            return Some(Part::Benchmark);
        }
        let within = |folder: &&String| file.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'));
        self.crates.iter().filter(within).max_by_key(|folder| folder.len()).cloned().map(Part::Crate)
    }
}

/// The sums.
struct Attribution<'a> {
    profile: &'a Profile,
    owned: &'a BTreeMap<u64, Part>,
    program: &'a str,
    /// The fraction of a function's instructions, those of its callees included, that belongs to its callers.
    nobodys: BTreeMap<&'a Function, f64>,
}

impl<'a> Attribution<'a> {
    fn new(profile: &'a Profile, owned: &'a BTreeMap<u64, Part>, program: &'a str) -> Self {
        Attribution { profile, owned, program, nobodys: BTreeMap::new() }
    }

    fn shares(mut self) -> Shares {
        let mut parts: BTreeMap<Part, f64> = BTreeMap::new();
        for (function, costs) in &self.profile.functions {
            for (&address, &cost) in &costs.own {
                if let Some(part) = self.owner(function, address) {
                    *parts.entry(part.clone()).or_default() += cost as f64;
                }
            }
            for call in &costs.calls {
                let Some(part) = self.owner(function, call.from) else { continue };
                let part = match part {
                    Part::Crate(folder) if folder == NULL_DEVICE && call.to.name.contains("memset") => Part::Clearing,
                    Part::Crate(_) if ["memcpy", "memmove"].iter().any(|name| call.to.name.contains(name)) => {
                        Part::Moves
                    }
                    part => part.clone(),
                };
                *parts.entry(part).or_default() += call.cost as f64 * self.nobodys_of(&call.to);
            }
        }
        parts.retain(|_, count| count.round() > 0.0);
        Shares { parts: parts.into_iter().map(|(part, count)| (part, count.round() as u64)).collect() }
    }

    fn owner(&self, function: &Function, address: u64) -> Option<&'a Part> {
        if function.object == self.program { self.owned.get(&address) } else { None }
    }

    fn nobodys_of(&mut self, function: &Function) -> f64 {
        let Some((function, costs)) = self.profile.functions.get_key_value(function) else { return 0.0 };
        if let Some(&known) = self.nobodys.get(function) {
            return known;
        }
        // Where functions call each other in a circle, the circle is taken for nobody's.
        self.nobodys.insert(function, 1.0);
        let (mut all, mut nobodys) = (0.0, 0.0);
        for (&address, &cost) in &costs.own {
            all += cost as f64;
            nobodys += if self.owner(function, address).is_none() { cost as f64 } else { 0.0 };
        }
        for call in &costs.calls {
            all += call.cost as f64;
            if self.owner(function, call.from).is_none() {
                nobodys += call.cost as f64 * self.nobodys_of(&call.to);
            }
        }
        let fraction = if all > 0.0 { nobodys / all } else { 0.0 };
        self.nobodys.insert(function, fraction);
        fraction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners() -> Owners {
        let crates = ["lib/fabric", "transport-srp", "bdev"].map(str::to_owned).to_vec();
        Owners { root: "/project".into(), crates, program: "/bin/program".into() }
    }

    fn part(folder: &str) -> Part {
        Part::Crate(folder.into())
    }

    #[test]
    fn a_file_belongs_to_its_crate() {
        let owners = owners();
        assert_eq!(owners.part_of("/project/transport-srp/src/perform.rs:7"), Some(part("transport-srp")));
        assert_eq!(owners.part_of("/project/lib/fabric/src/poll_group.rs:7"), Some(part("lib/fabric")));
        assert_eq!(owners.part_of("/project/lib/fabric/src/sim/link.rs:7"), Some(Part::SimulatedFabric));
        assert_eq!(owners.part_of("/project/perf/benches/micro/main.rs:7"), Some(Part::Benchmark));
        assert_eq!(owners.part_of("/project2/bdev/src/null.rs:7"), None);
        assert_eq!(owners.part_of("/rustc/59807616/library/core/src/option.rs:7"), None);
        assert_eq!(owners.part_of("??:?"), None);
    }

    #[test]
    fn inlined_code_belongs_to_the_innermost_function_of_the_project() {
        let frames = "0x0010\n/rustc/1/vec.rs:1\n/project/lib/fabric/src/sim/a.rs:2\n/project/transport-srp/src/b.rs:3\n0x0020\n??:?\n";
        assert_eq!(owners().parse_frames(frames), BTreeMap::from([(0x10, Part::SimulatedFabric)]));
    }

    /// `poll` of the transport (10 of its own) calls the fabric (20), the null device (30), memcpy (7) and a generic function (5) that calls back
    /// into the transport (15); fabric and device call memset (100 and 400).
    #[test]
    fn what_is_nobodys_belongs_to_its_callers() {
        let text = "\
positions: instr
ob=/bin/program
fn=poll
0x10 10
cfn=fabric
calls=1 0x20
0x11 120
cfn=null
calls=1 0x30
0x12 430
cfn=generic
calls=1 0x40
0x13 20
cob=/lib/libc.so
cfn=__memcpy_sse2
calls=1 0x2
0x14 7
fn=fabric
0x20 20
cob=/lib/libc.so
cfn=memset
calls=1 0x1
0x21 100
fn=null
0x30 30
cob=/lib/libc.so
cfn=memset
calls=1 0x1
0x31 400
fn=generic
0x40 5
cfn=back
calls=1 0x50
0x41 15
fn=back
0x50 15
ob=/lib/libc.so
fn=memset
0x1 500
fn=__memcpy_sse2
0x2 7
";
        let profile = Profile::parse(text).unwrap();
        let of = |from: u64, part: Part| (from..from + 16).map(move |address| (address, part.clone()));
        let owned = of(0x10, part("transport-srp"))
            .chain(of(0x20, Part::SimulatedFabric))
            .chain(of(0x30, part("bdev")))
            .chain(of(0x50, part("transport-srp")))
            .collect();
        let shares = Attribution::new(&profile, &owned, "/bin/program").shares();
        let expected = [
            (part("bdev"), 30),
            (part("transport-srp"), 10 + 5 + 15),
            (Part::Moves, 7),
            (Part::Clearing, 400),
            (Part::SimulatedFabric, 20 + 100),
        ];
        assert_eq!(shares.parts, BTreeMap::from(expected));
        assert_eq!(shares.total(), profile.total());
        assert_eq!(shares.target(), 67);
    }
}

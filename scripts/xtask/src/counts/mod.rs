//! `cargo xtask counts`: instructions of the micro-benchmarks, counted by valgrind and compared with the table
//! `perf/benches/instructions.txt`, which `--update` writes anew. It fails if one differs by more than the tolerance, also if there are fewer: the table stays true, and
//! what was gained is not lost unseen.
//!
//! # What is counted
//! Of most bodies every instruction, with the five of the call that `nothing` shows. Of the commands and rounds those of the target's
//! poll group, that is of everything `PollGroup::poll` calls, without the two parts that are told apart (`owners.rs`):
//!
//! | part | |
//! |---|---|
//! | simulated fabric | the code of `lib/fabric/src/sim` and what it calls. It plays network, device and the initiator's memory, and copies all data |
//! | clearing | what `memset` takes to clear a read's buffer at the null device: some hundred instructions here, 4096 where the processor clears by `rep stosb` and valgrind counts each byte |
//!
//! # What makes counts the same
//! The compiler, whose version the table names, the C library's choice of memory functions, which is forced to what every x86-64
//! processor has, and an empty environment. Time is virtual and chance is seeded.
//!
//! | file | holds |
//! |---|---|
//! | `mod.rs` | builds, runs valgrind, prints |
//! | `callgrind.rs` | reads a profile |
//! | `owners.rs` | whose the instructions of a profile are |
//! | `table.rs` | the stored table and the comparison |

mod callgrind;
mod owners;
mod table;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use cargo_metadata::Message;

use self::callgrind::Profile;
use self::owners::{Owners, Part, Shares};
use self::table::Table;
use crate::project::Project;

const TABLE: &str = "perf/benches/instructions.txt";
/// Calls of a body; a count is the mean.
const CALLS: u64 = 1000;
/// The function of the benchmark from which on and in which its body is counted.
const COUNTED: &str = "micro::counted";
/// The function whose instructions are a poll group's.
const POLL_GROUP: &str = "<transport_srp::poll_group::PollGroup as *>::poll";
/// What the C library shall not use: valgrind lets it see what the processor has, and another would have something else.
const GLIBC_TUNABLES: &str = "glibc.cpu.hwcaps=-AVX2,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM,-SSSE3";

/// Counts, prints, and compares with the table or writes it anew. Says whether all is within the tolerance.
pub fn run(project: &Project, arguments: &[&str]) -> anyhow::Result<bool> {
    let (update, keep) = match arguments {
        [] => (false, None),
        ["--update"] => (true, None),
        ["--keep", folder] => (false, Some(Path::new(folder))),
        _ => bail!("usage: counts [--update | --keep FOLDER]"),
    };
    let micro = Micro::build(project)?;
    let (mut rows, mut shares) = (Vec::new(), Vec::new());
    for body in micro.bodies()? {
        let profile = micro.profile(&body, keep)?;
        let count = match body.of_poll_group {
            true => {
                let of_body = micro.owners.shares(&profile).context(body.name.clone())?;
                let count = of_body.target();
                shares.push((body.name.clone(), body.operations, of_body));
                count
            }
            false => profile.total(),
        };
        rows.push((body.name, mean(count, body.operations)));
    }
    let measured = Table { compiler: compiler()?, rows };
    print_shares(&shares);
    if update {
        std::fs::write(project.root.join(TABLE), measured.text()).context(TABLE)?;
        println!("{TABLE} is written");
        return Ok(true);
    }
    let stored = Table::parse(&project.required_text(TABLE)?).context(TABLE)?;
    let comparison = stored.compare(&measured);
    print!("{}", comparison.text);
    comparison.problems.iter().for_each(|problem| println!("{problem}"));
    Ok(comparison.problems.is_empty())
}

/// Per operation, of a number over all calls.
fn mean(count: u64, operations: u64) -> u64 {
    let operations = operations * CALLS;
    (count + operations / 2) / operations
}

/// The compiler as the table names it.
fn compiler() -> anyhow::Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().context("rustc cannot be started")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or("unknown");
    Ok(format!("{} {host}", text.lines().next().unwrap_or("unknown")))
}

/// Whose the instructions of each command are.
fn print_shares(shares: &[(String, u64, Shares)]) {
    let mut parts: Vec<&Part> = shares.iter().flat_map(|(_, _, of_body)| of_body.parts.keys()).collect();
    parts.sort();
    parts.dedup();
    println!("{:<34}{}", "instructions of the poll group", headings(shares));
    for part in parts {
        let counts = shares.iter().map(|(_, operations, of_body)| {
            format!("{:>12}", mean(of_body.parts.get(part).copied().unwrap_or(0), *operations))
        });
        println!("  {:<32}{}", part.to_string(), counts.collect::<String>());
    }
    let line = |shares: &[(String, u64, Shares)], of: fn(&Shares) -> u64| -> String {
        shares.iter().map(|(_, operations, of_body)| format!("{:>12}", mean(of(of_body), *operations))).collect()
    };
    println!("  {:<32}{}", "all", line(shares, Shares::total));
    println!("  {:<32}{}\n", "the target's", line(shares, Shares::target));
}

/// Names of bodies, cut to the width of a column.
fn headings(shares: &[(String, u64, Shares)]) -> String {
    let short =
        |name: &str| name.replace("command ", "").replace("depth ", "").replace("round without work", "idle round");
    shares.iter().map(|(name, _, _)| format!("{:>12}", short(name))).collect()
}

/// The benchmark's program.
struct Micro {
    program: PathBuf,
    owners: Owners,
}

/// One of its bodies.
struct Body {
    name: String,
    of_poll_group: bool,
    /// Operations of a call.
    operations: u64,
}

impl Micro {
    fn build(project: &Project) -> anyhow::Result<Micro> {
        let mut cargo = crate::cargo::command();
        cargo.args(["bench", "--locked", "--package", "srpt-perf", "--bench", "micro", "--no-run"]);
        let output = cargo
            .arg("--message-format=json-render-diagnostics")
            .current_dir(&project.root)
            .stderr(Stdio::inherit())
            .output()
            .context("cargo bench")?;
        ensure!(output.status.success(), "the micro-benchmarks do not build");
        let built =
            Message::parse_stream(output.stdout.as_slice()).filter_map(Result::ok).find_map(|message| match message {
                Message::CompilerArtifact(artifact) if artifact.target.name == "micro" => artifact.executable,
                _ => None,
            });
        let program = built.context("cargo bench built no program")?.into_std_path_buf();
        let crates = project.crates().into_iter().map(|(folder, _)| folder).collect();
        let owners = Owners { root: project.root.clone(), crates, program: program.clone() };
        Ok(Micro { program, owners })
    }

    fn bodies(&self) -> anyhow::Result<Vec<Body>> {
        let output = Command::new(&self.program).arg("--list").output().context("micro --list")?;
        let text = String::from_utf8(output.stdout).context("micro --list")?;
        let body = |line: &str| -> Option<Body> {
            let (counts, rest) = line.split_once(' ')?;
            let (operations, name) = rest.split_once(' ')?;
            let operations = operations.parse().ok()?;
            Some(Body { name: name.to_owned(), of_poll_group: counts == "poll-group", operations })
        };
        text.lines().map(|line| body(line).with_context(|| format!("micro --list said: {line}"))).collect()
    }

    /// Runs a body under valgrind; what that writes may be kept.
    fn profile(&self, body: &Body, keep: Option<&Path>) -> anyhow::Result<Profile> {
        if let Some(folder) = keep {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            return self.profile_to(body, &folder.join(body.name.replace(' ', "-")));
        }
        let file = std::env::temp_dir().join(format!("srpt-counts-{}", std::process::id()));
        let result = self.profile_to(body, &file);
        let _ = std::fs::remove_file(&file); // it may not have been written
        result
    }

    fn profile_to(&self, body: &Body, file: &Path) -> anyhow::Result<Profile> {
        let mut valgrind = Command::new("valgrind");
        valgrind
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("GLIBC_TUNABLES", GLIBC_TUNABLES);
        valgrind.args([
            "--tool=callgrind",
            "--dump-instr=yes",
            "--dump-line=no",
            "--compress-strings=no",
            "--compress-pos=no",
        ]);
        valgrind.arg(format!("--callgrind-out-file={}", file.display()));
        match body.of_poll_group {
            true => valgrind.args([format!("--toggle-collect={POLL_GROUP}"), format!("--zero-before={COUNTED}")]),
            false => valgrind.arg(format!("--toggle-collect={COUNTED}")),
        };
        valgrind.arg(&self.program).args(["--count", &body.name, &CALLS.to_string()]);
        let output = valgrind
            .output()
            .context("valgrind, which counts instructions, cannot be started (Debian: apt install valgrind)")?;
        ensure!(output.status.success(), "{}: {}", body.name, String::from_utf8_lossy(&output.stderr));
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let profile = Profile::parse(&text).with_context(|| format!("{}: what callgrind wrote", body.name))?;
        let function = if body.of_poll_group { POLL_GROUP } else { COUNTED };
        ensure!(
            profile.total() > 0,
            "{}: no instruction of {function} was counted: is it inlined, or has it another name now?",
            body.name
        );
        Ok(profile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_the_rounded_mean_of_all_operations() {
        assert_eq!(mean(5_013, 1), 5);
        assert_eq!(mean(32 * 7_499, 32), 7);
        assert_eq!(mean(32 * 7_500, 32), 8);
    }
}

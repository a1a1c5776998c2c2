//! A profile as callgrind writes it (Valgrind User Manual, "Callgrind Format Specification"), with instruction addresses, and without the
//! compression of names and positions.

use std::collections::BTreeMap;

use anyhow::{Context, bail};

/// What was executed, by function.
#[derive(Default, Debug)]
pub struct Profile {
    pub functions: BTreeMap<Function, Costs>,
}

/// A function as the symbol table has it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Function {
    /// File of the program or library.
    pub object: String,
    pub name: String,
}

/// What was executed in one function, and called from it.
#[derive(Default, Debug)]
pub struct Costs {
    /// Instructions by their address in the object.
    pub own: BTreeMap<u64, u64>,
    pub calls: Vec<Call>,
}

/// All calls from one place to one function.
#[derive(PartialEq, Eq, Debug)]
pub struct Call {
    /// Address of the calling instruction in its object.
    pub from: u64,
    pub to: Function,
    /// Instructions between the calls and their returns.
    pub cost: u64,
}

impl Profile {
    pub fn parse(text: &str) -> anyhow::Result<Profile> {
        let mut profile = Profile::default();
        let (mut function, mut callee) = (Function::default(), Function::default());
        let mut calling = false;
        for line in text.lines() {
            if let Some(object) = line.strip_prefix("ob=") {
                object.clone_into(&mut function.object);
            } else if let Some(name) = line.strip_prefix("fn=") {
                name.clone_into(&mut function.name);
                callee.object.clone_from(&function.object);
            } else if let Some(object) = line.strip_prefix("cob=") {
                object.clone_into(&mut callee.object);
            } else if let Some(name) = line.strip_prefix("cfn=") {
                name.clone_into(&mut callee.name);
            } else if line.starts_with("calls=") {
                calling = true;
            } else if line.starts_with("0x") {
                let (address, cost) = cost_line(line).with_context(|| line.to_owned())?;
                let costs = profile.functions.entry(function.clone()).or_default();
                if std::mem::take(&mut calling) {
                    costs.calls.push(Call { from: address, to: callee.clone(), cost });
                    // The callee's object holds for one call.
                    callee.object.clone_from(&function.object);
                } else {
                    *costs.own.entry(address).or_default() += cost;
                }
            } else if line.starts_with("positions:") && line != "positions: instr" {
                bail!("{line}: with instruction addresses alone it would be `positions: instr`");
            }
        }
        Ok(profile)
    }

    /// All instructions.
    pub fn total(&self) -> u64 {
        self.functions.values().flat_map(|costs| costs.own.values()).sum()
    }
}

/// Address and instructions.
fn cost_line(line: &str) -> Option<(u64, u64)> {
    let (address, cost) = line.strip_prefix("0x")?.split_once(' ')?;
    Some((u64::from_str_radix(address, 16).ok()?, cost.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "\
version: 1
positions: instr
events: Ir
summary: 130

ob=/bin/program
fl=???
fn=outer
0x10 10
cob=/lib/libc.so
cfi=???
cfn=memset
calls=2 0x77
0x11 100
cfn=inner
calls=1 0x20
0x12 20
0x10 0

fn=inner
0x20 20

ob=/lib/libc.so
fn=memset
0x77 100

totals: 130
";

    fn function(object: &str, name: &str) -> Function {
        Function { object: object.into(), name: name.into() }
    }

    #[test]
    fn costs_and_calls_are_told_apart() {
        let profile = Profile::parse(PROFILE).unwrap();
        assert_eq!(profile.total(), 130);
        let outer = &profile.functions[&function("/bin/program", "outer")];
        assert_eq!(outer.own, BTreeMap::from([(0x10, 10)]));
        let call = |from, to, cost| Call { from, to, cost };
        let expected =
            [call(0x11, function("/lib/libc.so", "memset"), 100), call(0x12, function("/bin/program", "inner"), 20)];
        assert_eq!(outer.calls, expected);
        assert!(profile.functions.contains_key(&function("/lib/libc.so", "memset")));
    }

    #[test]
    fn a_profile_by_source_lines_is_refused() {
        assert!(Profile::parse("positions: line\n").is_err());
        assert!(Profile::parse("positions: instr\nfn=f\n0x10 many\n").is_err());
    }
}

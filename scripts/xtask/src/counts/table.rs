//! The table of instruction counts: lines of a name and a number, and the compiler that they hold for.

use anyhow::Context;

/// Differences up to this many instructions are none, whatever the percentage.
const TOLERANCE_LEAST: u64 = 3;
const TOLERANCE_PERCENT: u64 = 5;
/// With another compiler than the table's: what it lays out otherwise is no fault, what was broken in the project mostly shows.
const TOLERANCE_PERCENT_OTHER_COMPILER: u64 = 25;

const HEADER: &str = "\
# Instructions of the micro-benchmarks (perf/benches/micro). Compared, and written anew with --update, by ./perf/compare/counts.sh;
# what is counted stands in scripts/xtask/src/counts/mod.rs.
";
const COMPILER: &str = "compiler: ";

const UPDATE: &str = "update the table: ./perf/compare/counts.sh --update";
const PROFILES: &str = "./perf/compare/counts.sh --keep FOLDER leaves profiles for callgrind_annotate";

/// What was counted, and with which compiler.
#[derive(PartialEq, Eq, Debug)]
pub struct Table {
    pub compiler: String,
    pub rows: Vec<(String, u64)>,
}

/// How counts compare with the table.
pub struct Comparison {
    /// A line for each row.
    pub text: String,
    /// What is beyond the tolerance, and what to do.
    pub problems: Vec<String>,
}

impl Table {
    pub fn parse(text: &str) -> anyhow::Result<Table> {
        let mut table = Table { compiler: String::new(), rows: Vec::new() };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(compiler) = line.strip_prefix(COMPILER) {
                compiler.clone_into(&mut table.compiler);
                continue;
            }
            let (name, count) = line.rsplit_once(' ').with_context(|| format!("'{line}' is no name and number"))?;
            let count = count.parse().with_context(|| format!("'{line}' does not end with a number"))?;
            table.rows.push((name.trim().to_owned(), count));
        }
        Ok(table)
    }

    pub fn text(&self) -> String {
        let mut text = format!("{HEADER}{COMPILER}{}\n\n", self.compiler);
        for (name, count) in &self.rows {
            text += &format!("{name:<32}{count:>8}\n");
        }
        text
    }

    fn get(&self, name: &str) -> Option<u64> {
        self.rows.iter().find(|(row, _)| row == name).map(|(_, count)| *count)
    }

    /// Compares what was measured with this table.
    pub fn compare(&self, measured: &Table) -> Comparison {
        let Some(percent) = self.tolerance_percent(measured) else {
            return Comparison::of_another_processor(self, measured);
        };
        let mut text = format!("{:<32}{:>9}{:>9}{:>12}\n", "instructions", "measured", "stored", "difference");
        let (mut more, mut fewer, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        for (name, count) in &measured.rows {
            let Some(stored) = self.get(name) else {
                text += &format!("{name:<32}{count:>9}{:>9}\n", "-");
                problems.push(format!("{name} is not in the table: {UPDATE}"));
                continue;
            };
            let difference = count.cast_signed() - stored.cast_signed();
            let beyond = difference.unsigned_abs() > (stored * percent / 100).max(TOLERANCE_LEAST);
            let mark = if beyond { " !" } else { "" };
            let of_stored = 100.0 * difference as f64 / stored.max(1) as f64;
            text += &format!("{name:<32}{count:>9}{stored:>9}{difference:>+7} {of_stored:>+5.1} %{mark}\n");
            match beyond {
                true if difference > 0 => more.push(name.as_str()),
                true => fewer.push(name.as_str()),
                false => {}
            }
        }
        if self.compiler != measured.compiler {
            text += &format!(
                "The table holds for {}, this is {}: differences up to {percent} % may be the compiler's. If this compiler is to stay, {UPDATE}.\n",
                self.compiler, measured.compiler
            );
        }
        let gone = self.rows.iter().filter(|(name, _)| measured.get(name).is_none());
        problems.extend(gone.map(|(name, _)| format!("{name} is in the table and not measured any more: {UPDATE}")));
        if !more.is_empty() {
            problems.push(format!(
                "more instructions than stored: {}. Find out why ({PROFILES}); if it has to be, {UPDATE}, and say in the commit what for",
                more.join(", ")
            ));
        }
        if !fewer.is_empty() {
            problems
                .push(format!("fewer instructions than stored: {}. So that it stays so, {UPDATE}", fewer.join(", ")));
        }
        Comparison { text, problems }
    }

    /// `None`: another processor has other instructions.
    fn tolerance_percent(&self, measured: &Table) -> Option<u64> {
        let host = |table: &Table| table.compiler.rsplit(' ').next().map(str::to_owned);
        match self.compiler == measured.compiler {
            true => Some(TOLERANCE_PERCENT),
            false => (host(self) == host(measured)).then_some(TOLERANCE_PERCENT_OTHER_COMPILER),
        }
    }
}

impl Comparison {
    fn of_another_processor(stored: &Table, measured: &Table) -> Comparison {
        let mut text =
            format!("Not compared: the table holds for {}, this is {}.\n", stored.compiler, measured.compiler);
        measured.rows.iter().for_each(|(name, count)| text += &format!("{name:<32}{count:>9}\n"));
        Comparison { text, problems: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(&str, u64)]) -> Table {
        let rows = rows.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Table { compiler: "rustc 1.0 x86_64".into(), rows }
    }

    fn problems(stored: u64, measured: u64) -> Vec<String> {
        table(&[("a", stored)]).compare(&table(&[("a", measured)])).problems
    }

    #[test]
    fn a_table_comes_back_from_its_text() {
        let table = table(&[("parse direct", 259), ("nothing", 5)]);
        assert_eq!(Table::parse(&table.text()).unwrap(), table);
        assert!(Table::parse("parse direct many").is_err());
    }

    #[test]
    fn five_percent_are_tolerated_both_ways() {
        assert_eq!(problems(1000, 1050), [""; 0]);
        assert_eq!(problems(1000, 950), [""; 0]);
        assert!(problems(1000, 1051)[0].starts_with("more instructions than stored: a."));
        assert!(problems(1000, 949)[0].starts_with("fewer instructions than stored: a."));
    }

    #[test]
    fn three_instructions_are_always_tolerated() {
        assert_eq!(problems(5, 8), [""; 0]);
        assert_eq!(problems(5, 2), [""; 0]);
        assert_eq!(problems(5, 9).len(), 1);
        assert_eq!(problems(5, 1).len(), 1);
    }

    #[test]
    fn both_have_the_same_rows() {
        let problems = table(&[("a", 1), ("b", 1)]).compare(&table(&[("a", 1), ("c", 1)])).problems;
        assert_eq!(problems.len(), 2);
        assert!(problems[0].starts_with("c is not in the table") && problems[1].starts_with("b is in the table"));
    }

    #[test]
    fn another_compiler_is_told_and_given_more_room() {
        let stored = Table { compiler: "rustc 0.9 x86_64".into(), ..table(&[("a", 1000)]) };
        let comparison = stored.compare(&table(&[("a", 1250)]));
        assert!(comparison.problems.is_empty() && comparison.text.contains("holds for rustc 0.9"));
        assert_eq!(stored.compare(&table(&[("a", 1251)])).problems.len(), 1);
    }

    #[test]
    fn another_processor_is_not_compared() {
        let stored = Table { compiler: "rustc 1.0 aarch64".into(), ..table(&[("a", 1000)]) };
        let comparison = stored.compare(&table(&[("a", 2000)]));
        assert!(comparison.problems.is_empty() && comparison.text.starts_with("Not compared"));
    }
}

//! Nothing of the machine that a file was written on: no absolute path into a folder that ordinary systems do not have, no
//! host but those of `scripts/hosts.txt`. A path is told from an expression by looking: its first folder exists here.

use std::collections::BTreeSet;
use std::path::Path;

use crate::project::{Findings, Project};

const HOSTS: &str = "scripts/hosts.txt";

/// First folders that every system has (Filesystem Hierarchy Standard 3.0), and those of the kernel.
const STANDARD: [&str; 18] = [
    "bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "media", "mnt", "opt", "proc", "run", "sbin", "srv", "sys",
    "tmp", "usr", "var",
];

/// See above.
pub fn check(project: &Project) -> anyhow::Result<Findings> {
    let hosts: BTreeSet<String> = project.list(HOSTS)?.into_iter().map(|(host, _)| host).collect();
    let exists = |folder: &str| Path::new("/").join(folder).is_dir();
    let mut findings = Findings::default();
    let mut used = BTreeSet::new();
    for file in &project.files {
        let Some(text) = project.text(file)? else { continue };
        for (index, line) in text.lines().enumerate() {
            let at = format!("{file}:{}", index + 1);
            let folders = first_folders(line).filter(|folder| !STANDARD.contains(folder) && exists(folder));
            findings.problems.extend(folders.map(|folder| format!("{at}: a path of this machine: /{folder}/…")));
            for host in url_hosts(line).filter(|host| !is_local(host)) {
                if !hosts.contains(host) {
                    findings.problems.push(format!("{at}: host {host}: does a user need it? Then add it to {HOSTS}"));
                }
                used.insert(host.to_owned());
            }
        }
    }
    let unused = hosts.iter().filter(|host| !used.contains(*host));
    findings.problems.extend(unused.map(|host| format!("{HOSTS}: no file names {host}: remove the line")));
    findings.summary = format!("{} files, {} hosts", project.files.len(), used.len());
    Ok(findings)
}

/// The first folders of all absolute paths in `line` that have at least two parts.
fn first_folders(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices('/').filter_map(|(at, _)| {
        let before = line[..at].chars().next_back();
        let starts = before.is_none_or(|c| c.is_whitespace() || "\"'`=(:,<>[{|".contains(c));
        let (folder, rest) = line[at + 1..].split_once('/')?;
        let name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let is_name = !folder.is_empty() && folder.chars().all(name) && rest.starts_with(name);
        (starts && is_name).then_some(folder)
    })
}

/// The hosts of all URLs in `line`.
fn url_hosts(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("://").filter_map(|(at, separator)| {
        let scheme = ["http", "https", "git", "ssh", "ftp"].iter().any(|scheme| line[..at].ends_with(scheme));
        let rest = &line[at + separator.len()..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !".-".contains(c)).unwrap_or(rest.len());
        (scheme && end > 0).then_some(&rest[..end])
    })
}

/// This machine, private networks and names that stand for any other.
fn is_local(host: &str) -> bool {
    let private = ["127.", "10.", "192.168.", "192.0.2.", "0.0.0.0"].iter().any(|prefix| host.starts_with(prefix));
    let placeholder = ["example.com", "example.org", ".example"].iter().any(|suffix| host.ends_with(suffix));
    private || placeholder || host == "localhost"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths_are_found() {
        let folders = |line| first_folders(line).collect::<Vec<_>>();
        assert_eq!(folders("/alpha/beta"), ["alpha"]);
        assert_eq!(folders("cp \"/alpha/beta\" x=/gamma/delta (/eps/f)"), ["alpha", "gamma", "eps"]);
        assert_eq!(folders("alpha/beta ./alpha/beta $A/alpha/beta"), [""; 0]);
        assert_eq!(folders("/alpha a / b / c and/or/not"), [""; 0]);
        assert_eq!(folders("https://host.example/a/b"), [""; 0]);
    }

    #[test]
    fn hosts_are_found() {
        let hosts = |line| url_hosts(line).collect::<Vec<_>>();
        assert_eq!(
            hosts("see https://docs.example.org/a and <http://b.example:80/>"),
            ["docs.example.org", "b.example"]
        );
        assert_eq!(hosts("registry+https://github.com/x"), ["github.com"]);
        assert_eq!(hosts("crate://name, std::fmt, http://$HOST/"), [""; 0]);
    }

    #[test]
    fn local_hosts_are_no_leak() {
        assert!(["127.0.0.1", "localhost", "10.77.0.1", "example.com", "a.example"].into_iter().all(is_local));
        assert!(!["github.com", "1.2.3.4", "localhost.com", "example.net"].into_iter().any(is_local));
    }
}

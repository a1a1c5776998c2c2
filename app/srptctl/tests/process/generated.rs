//! Completion scripts and man pages, judged by those who read them, where these are here.

use std::process::Command;

use super::{is_here, srptctl, write};

#[test]
fn shells_take_their_completion_scripts() {
    let folder = tempfile::tempdir().expect("a folder");
    for shell in ["bash", "zsh", "fish"] {
        let said = srptctl(None, &["completion", shell]);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{shell}");
        let path = folder.path().join(shell).display().to_string();
        write(&path, &said.out);
        if is_here(shell, "--version") {
            let output = Command::new(shell).args(["-n", &path]).output().expect("the shell starts");
            let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() && complaints.is_empty(), "{shell}: {complaints}");
        }
    }
    if is_here("bash", "--version") {
        let script = folder.path().join("bash");
        let ask = format!(
            "source {}; COMP_WORDS=(srptctl bdev create m); COMP_CWORD=3; _srptctl srptctl m create; echo ${{COMPREPLY[@]}}",
            script.display()
        );
        let output = Command::new("bash").args(["--norc", "-c", &ask]).output().expect("bash");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "malloc\n", "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn man_pages_are_clean() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = folder.path().join("man1");
    let said = srptctl(None, &["man", &directory.display().to_string()]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    let pages: Vec<_> =
        std::fs::read_dir(&directory).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
    assert!(pages.iter().any(|page| page.ends_with("srptctl-bdev-create-malloc.1")), "{pages:?}");
    let first = std::fs::read_to_string(directory.join("srptctl.1")).expect("a page");
    assert!(first.contains("3  the target cannot be reached"), "exit codes: {first}");
    if is_here("groff", "--version") {
        for page in &pages {
            let output = Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).arg(page).output().expect("groff");
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", page.display());
        }
    }
    if is_here("mandoc", "-V") {
        // Warnings are about empty lines, of which clap writes more than mandoc likes.
        let output = Command::new("mandoc").args(["-Tlint", "-Werror"]).args(&pages).output().expect("mandoc");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    }
}

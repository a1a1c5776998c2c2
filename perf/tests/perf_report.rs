//! The program `perf-report` as a whole, on results that srp-perf and bdevperf wrote (shortened).

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn stored(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/results").join(name)
}

const ALL: [&str; 4] = ["srp-perf-q1.json", "srp-perf-q32.json", "bdevperf-q1.json", "bdevperf-q32.json"];

fn perf_report(arguments: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_perf-report")).args(arguments).output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn results_become_a_page_and_plots() {
    let folder = tempfile::tempdir().expect("a folder");
    let (page, plots) = (folder.path().join("r.html"), folder.path().join("a/plots"));
    let files = ALL.map(stored);
    let mut arguments: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    arguments.extend([Path::new("-o"), &page, Path::new("--svg"), &plots, Path::new("--title"), Path::new("A & B")]);
    let output = perf_report(&arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("4 runs"), "{}", text(&output.stdout));

    let html = std::fs::read_to_string(&page).expect("a page");
    assert!(html.contains("<h1>A &amp; B</h1>"));
    for words in
        ["srp-perf by queue depth", "bdevperf by queue depth", ">srp-perf-q32.json", "AMD EPYC", "Null disk", "roce"]
    {
        assert!(html.contains(words), "{words}");
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&plots).expect("a folder") {
        let path = entry.expect("an entry").path();
        let svg = std::fs::read_to_string(&path).expect("a plot");
        let document = roxmltree::Document::parse(&svg).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(document.descendants().any(|node| node.tag_name().name() == "polyline"), "{}", path.display());
        names.push(path.file_name().expect("a name").to_string_lossy().into_owned());
    }
    names.sort();
    let of = |program: &str| {
        names.iter().filter(|name| name.contains(&format!("-{program}-")) && name.contains("-by-queue-depth")).count()
    };
    assert_eq!((of("srp-perf"), of("bdevperf"), names.len()), (3, 3, 6), "{names:?}");
}

#[test]
fn a_file_that_is_no_result_is_named_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let (page, bad) = (folder.path().join("r.html"), folder.path().join("bad.json"));
    let good = std::fs::read_to_string(stored(ALL[0])).expect("results");
    for (contents, words) in [
        ("", "EOF"),
        ("{\"program\": 3}", "program: "),
        (&good.replace("\"depth\": 1,", "\"depth\": -1,"), "settings.depth: -1"),
        (&good.replace("\"good\": true,", ""), "missing field `good`"),
    ] {
        std::fs::write(&bad, contents).expect("a file");
        let output = perf_report(&[&stored(ALL[1]), &bad, Path::new("-o"), &page]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with("perf-report: ") && said.contains("bad.json: ") && said.contains(words), "{said}");
        assert!(!page.exists(), "{words}");
    }
    let said = text(&perf_report(&[]).stderr);
    assert!(said.contains("FILE"), "{said}");
}

#[test]
fn what_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("none/r.html");
    let said = text(&perf_report(&[&stored(ALL[0]), Path::new("-o"), &page]).stderr);
    assert!(said.contains("none/r.html"), "{said}");
    let (page, file) = (folder.path().join("r.html"), folder.path().join("file"));
    std::fs::write(&file, "").expect("a file");
    let said = text(&perf_report(&[&stored(ALL[0]), Path::new("-o"), &page, Path::new("--svg"), &file]).stderr);
    assert!(said.contains("--svg"), "{said}");
}

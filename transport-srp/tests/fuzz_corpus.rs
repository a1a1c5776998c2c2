//! Replays the committed inputs of the fuzz targets on the stable compiler, so that what the fuzzer once found stays found.

#[path = "../fuzz/exercise/login.rs"]
mod login;
#[path = "../fuzz/exercise/parse_iu.rs"]
mod parse_iu;

use std::path::Path;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in std::fs::read_dir(&folder).expect("the corpus is committed") {
        let path = entry.expect("readable").path();
        println!("{}", path.display()); // shown if the next line panics
        run(&std::fs::read(&path).expect("readable"));
        inputs += 1;
    }
    assert!(inputs >= 10, "{} holds only {inputs} inputs", folder.display());
}

#[test]
fn parse_iu_corpus() {
    replay("parse_iu", parse_iu::run);
}

#[test]
fn login_corpus() {
    replay("login", login::run);
}

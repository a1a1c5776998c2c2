//! Replays the committed inputs of the fuzz targets on the stable compiler, so that what the fuzzer once found stays found.

#[path = "../fuzz/exercise/roce_cm.rs"]
mod roce_cm;
#[path = "../fuzz/exercise/roce_frame.rs"]
mod roce_frame;
#[path = "../fuzz/exercise/roce_mad.rs"]
mod roce_mad;
#[path = "../fuzz/exercise/roce_packet.rs"]
mod roce_packet;
#[path = "../fuzz/exercise/roce_rc.rs"]
mod roce_rc;

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
fn roce_packet_corpus() {
    replay("roce_packet", roce_packet::run);
}

#[test]
fn roce_mad_corpus() {
    replay("roce_mad", roce_mad::run);
}

#[test]
fn roce_frame_corpus() {
    replay("roce_frame", roce_frame::run);
}

#[test]
fn roce_cm_corpus() {
    replay("roce_cm", roce_cm::run);
}

#[test]
fn roce_rc_corpus() {
    replay("roce_rc", roce_rc::run);
}
